import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { ascii } from "./json-writer.ts";

/** How a field of a message becomes a member of a JSON object. */
export interface FieldPlan {
  /** The name, with what the value begins with: `"offset":"`. */
  readonly open: Uint8Array;
  readonly value: "string" | "bytes" | "number" | "quoted" | "bool" | "double" | "enum" | "time" | "message";
  readonly wireType: WireType;
  /** Whether its zero value is left out. */
  readonly implicit: boolean;
  /** Largest value of a number. */
  readonly maximum: number;
  /** Bit of the oneof that it belongs to, of which only one field may be there; 0: none. */
  readonly oneof: number;
  /** Texts of an enum by value. */
  readonly names: readonly (Uint8Array | undefined)[];
  /** Of a message. */
  readonly fields: MessagePlan;
}

/** Plans by field number. What has none (lists, maps, rare types) is left to protobuf-es. */
export type MessagePlan = readonly (FieldPlan | undefined)[];

const known = new Map<DescMessage, MessagePlan>();

/** The plan of a message, made on first use. */
export function planOf(schema: DescMessage): MessagePlan {
  const made = known.get(schema);
  if (made !== undefined) return made;
  const plan: (FieldPlan | undefined)[] = [];
  // Before its fields: a message may contain itself.
  known.set(schema, plan);
  for (const field of schema.fields) {
    // A bit each; there are far fewer.
    const oneof = field.oneof === undefined ? 0 : 1 << schema.oneofs.indexOf(field.oneof);
    plan[field.number] = planField(field, oneof);
  }
  return plan;
}

function planField(field: DescField, oneof: number): FieldPlan | undefined {
  const common = {
    implicit: field.presence === FeatureSet_FieldPresence.IMPLICIT,
    oneof,
    maximum: 0,
    names: [],
    fields: [],
  };
  const open = (begin: string): Uint8Array => ascii(`"${field.jsonName}":${begin}`);
  if (field.fieldKind === "message") {
    const { typeName } = field.message;
    const wireType = WireType.LengthDelimited;
    if (typeName === "google.protobuf.Timestamp") return { ...common, value: "time", open: open('"'), wireType };
    // Other well-known types have JSON forms of their own.
    if (typeName.startsWith("google.protobuf.")) return undefined;
    return { ...common, value: "message", open: open("{"), wireType, fields: planOf(field.message) };
  }
  if (field.fieldKind === "enum") {
    return { ...common, value: "enum", open: open(""), wireType: WireType.Varint, names: namesOf(field.enum) };
  }
  if (field.fieldKind !== "scalar") return undefined;
  switch (field.scalar) {
    case ScalarType.STRING:
      return { ...common, value: "string", open: open(""), wireType: WireType.LengthDelimited };
    case ScalarType.BYTES:
      return { ...common, value: "bytes", open: open(""), wireType: WireType.LengthDelimited };
    case ScalarType.BOOL:
      return { ...common, value: "bool", open: open(""), wireType: WireType.Varint };
    case ScalarType.UINT32:
      return { ...common, value: "number", open: open(""), wireType: WireType.Varint, maximum: 0xffff_ffff };
    case ScalarType.INT32:
      return { ...common, value: "number", open: open(""), wireType: WireType.Varint, maximum: 0x7fff_ffff };
    case ScalarType.UINT64:
    case ScalarType.INT64:
      return {
        ...common,
        value: "quoted",
        open: open('"'),
        wireType: WireType.Varint,
        maximum: Number.MAX_SAFE_INTEGER,
      };
    case ScalarType.DOUBLE:
      return { ...common, value: "double", open: open(""), wireType: WireType.Bit64 };
    default:
      return undefined;
  }
}

function namesOf(schema: DescEnum): readonly (Uint8Array | undefined)[] {
  const names: (Uint8Array | undefined)[] = [];
  for (const { number, name } of schema.values) names[number] = ascii(`"${name}"`);
  return names;
}
