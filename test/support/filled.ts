import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";

/** Messages within messages that are filled. Deeper ones stay empty. */
const maxDepth = 5;

/**
 * A message in which every field has a value other than its default. Of a oneof, the member that `choose` names by
 * its field number, else the first one.
 */
export function filled<Desc extends DescMessage>(schema: Desc, choose?: number): Message {
  const message = create(schema);
  fill(reflect(schema, message), choose, 0);
  return message;
}

function fill(message: ReflectMessage, choose: number | undefined, depth: number): void {
  for (const member of message.members) {
    const field =
      member.kind === "oneof" ? (member.fields.find(({ number }) => number === choose) ?? member.fields[0]) : member;
    if (field !== undefined) fillField(message, field, depth);
  }
}

function fillField(message: ReflectMessage, field: DescField, depth: number): void {
  switch (field.fieldKind) {
    case "scalar":
      message.set(field, scalar(field.scalar, field.number));
      return;
    case "enum":
      message.set(field, lastValue(field.enum.values));
      return;
    case "message":
      message.set(field, nested(message, field, depth));
      return;
    case "list": {
      const list = message.get(field);
      for (let i = 0; i < 2; i++) {
        if (field.listKind === "scalar") list.add(scalar(field.scalar, field.number + i));
        else if (field.listKind === "enum") list.add(lastValue(field.enum.values));
        else list.add(nestedOf(field.message, depth));
      }
      return;
    }
    case "map":
      if (field.mapKind !== "scalar") throw new Error(`${field} is a map of messages, which is not filled yet`);
      message.get(field).set("key", scalar(field.scalar, field.number));
  }
}

function nested(message: ReflectMessage, field: DescField & { fieldKind: "message" }, depth: number): ReflectMessage {
  const inner = message.get(field);
  if (depth < maxDepth) fillInner(inner, depth);
  return inner;
}

function nestedOf(schema: DescMessage, depth: number): ReflectMessage {
  const inner = reflect(schema);
  if (depth < maxDepth) fillInner(inner, depth);
  return inner;
}

function fillInner(inner: ReflectMessage, depth: number): void {
  if (inner.desc.typeName === "google.protobuf.Timestamp" || inner.desc.typeName === "google.protobuf.Duration") {
    inner.set(inner.desc.field["seconds"] as DescField, 1_700_000_000n);
    inner.set(inner.desc.field["nanos"] as DescField, 120_000_000);
  } else {
    fill(inner, undefined, depth + 1);
  }
}

function lastValue(values: readonly { readonly number: number }[]): number {
  return values.at(-1)?.number ?? 0;
}

function scalar(type: ScalarType, seed: number): string | number | bigint | boolean | Uint8Array {
  switch (type) {
    case ScalarType.STRING:
      return `text ${seed} with "quotes", a line\nbreak, é and 💧`;
    case ScalarType.BYTES:
      return Uint8Array.from([seed, 0, 255, 10, 13]);
    case ScalarType.BOOL:
      return true;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return seed + 0.5;
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.SINT64:
      return 2n ** 53n + BigInt(seed);
    default:
      return seed + 100;
  }
}
