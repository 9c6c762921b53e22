import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";

/** How the value of a field looks in the canonical encoding. */
export interface CanonicalField {
  readonly value: "number" | "double" | "text" | "bytes" | "message";
  readonly wireType: WireType;
  /** Whether its zero value is left out. */
  readonly implicit: boolean;
  readonly repeated: boolean;
  /** Bit of the oneof that it belongs to, of which only one field may be there; 0: none. */
  readonly oneof: number;
  /** Largest value of a number. Negative ones are larger than all of these. */
  readonly maximum: number;
  /** Of a message. */
  readonly fields: CanonicalPlan;
}

/** Plans by field number. What has none (maps, packed lists, rare types) is left to protobuf-es. */
export type CanonicalPlan = readonly (CanonicalField | undefined)[];

const known = new Map<DescMessage, CanonicalPlan>();

/** The plan of a message, made on first use. */
export function canonicalPlanOf(schema: DescMessage): CanonicalPlan {
  const made = known.get(schema);
  if (made !== undefined) return made;
  const plan: (CanonicalField | undefined)[] = [];
  // Before its fields: a message may contain itself.
  known.set(schema, plan);
  for (const field of schema.fields) {
    // A bit each; there are far fewer.
    const oneof = field.oneof === undefined ? 0 : 1 << schema.oneofs.indexOf(field.oneof);
    plan[field.number] = planField(field, oneof);
  }
  return plan;
}

function planField(field: DescField, oneof: number): CanonicalField | undefined {
  const repeated = field.fieldKind === "list";
  const implicit = !repeated && field.presence === FeatureSet_FieldPresence.IMPLICIT;
  const common = { wireType: WireType.LengthDelimited, implicit, repeated, oneof, maximum: 0, fields: [] } as const;
  const number = (maximum: number): CanonicalField => ({
    ...common,
    value: "number",
    wireType: WireType.Varint,
    maximum,
  });
  if (field.fieldKind === "map") return undefined;
  if (field.message !== undefined) {
    return { ...common, value: "message", fields: canonicalPlanOf(field.message) };
  }
  if (field.scalar === ScalarType.STRING) return { ...common, value: "text" };
  if (field.scalar === ScalarType.BYTES) return { ...common, value: "bytes" };
  // Lists of numbers are packed.
  if (repeated) return undefined;
  if (field.enum !== undefined) return field.enum.open ? number(0x7fff_ffff) : undefined;
  switch (field.scalar) {
    case ScalarType.BOOL:
      return number(1);
    case ScalarType.UINT32:
      return number(0xffff_ffff);
    case ScalarType.INT32:
      return number(0x7fff_ffff);
    case ScalarType.UINT64:
    case ScalarType.INT64:
      return number(Number.MAX_SAFE_INTEGER);
    case ScalarType.DOUBLE:
      return { ...common, value: "double", wireType: WireType.Bit64 };
    default:
      return undefined;
  }
}
