import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";

type Init = Record<string, unknown>;

/** Texts that break careless encoders: control characters, line ends, quotes, several bytes a character. */
const text = fc.oneof(
  fc.string({ maxLength: 80 }),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.constantFrom("", "\n", "\r\ndata: forged\n\n", "\u2028", '"\\', "é", "𝄞", "a".repeat(130), "ß".repeat(70)),
);
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.integer({ min: 100, max: 20_000 }).map((length) => new Uint8Array(length).fill(length & 0xff)),
);
const uint64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 200n }),
  fc.bigInt({ min: 0n, max: 2n ** 53n + 2n }),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const int64 = fc.oneof(fc.bigInt({ min: -5n, max: 5n }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));

/** Any message of a schema: every field is absent, zero or something. */
export function anyMessage<T extends Message>(schema: DescMessage, depth = 3): fc.Arbitrary<T> {
  return anyInit(schema, depth).map((init) => create(schema, init as never) as unknown as T);
}

/** A message whose oneof has this field. */
export function anyMessageWith<T extends Message>(schema: DescMessage, oneofField: DescField): fc.Arbitrary<T> {
  const oneof = oneofField.oneof;
  if (oneof === undefined) throw new Error(`${oneofField} is in no oneof`);
  return fc.tuple(anyInit(schema, 3), anyValue(oneofField, 3)).map(([init, value]) =>
    create(schema, {
      ...init,
      [oneof.localName]: { case: oneofField.localName, value },
    } as never),
  ) as unknown as fc.Arbitrary<T>;
}

function anyInit(schema: DescMessage, depth: number): fc.Arbitrary<Init> {
  if (schema.typeName === "google.protobuf.Timestamp") {
    // What proto3 JSON can say: years 1 to 9999.
    return fc.record({
      seconds: fc.oneof(fc.constant(0n), fc.bigInt({ min: -62_135_596_800n, max: 253_402_300_799n })),
      nanos: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 })),
    });
  }
  if (schema.typeName === "google.protobuf.Duration") {
    return fc.record({
      seconds: fc.bigInt({ min: 0n, max: 315_576_000_000n }),
      nanos: fc.integer({ min: 0, max: 999_999_999 }),
    });
  }
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of schema.fields) {
    if (field.oneof !== undefined) continue;
    if (depth === 0 && (field.fieldKind === "message" || field.fieldKind === "list" || field.fieldKind === "map")) {
      continue;
    }
    fields[field.localName] = fc.option(anyValue(field, depth), { nil: undefined });
  }
  for (const oneof of schema.oneofs) {
    const choices = oneof.fields.filter((field) => depth > 0 || field.fieldKind !== "message");
    fields[oneof.localName] = fc.oneof(
      fc.constant(undefined),
      ...choices.map((field) =>
        fc
          .constant(field)
          .chain((chosen) => anyValue(chosen, depth).map((value) => ({ case: chosen.localName, value }))),
      ),
    );
  }
  return fc.record(fields);
}

function anyValue(field: DescField, depth: number): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "scalar":
      return anyScalar(field.scalar);
    case "enum":
      return fc.constantFrom(...field.enum.values.map((value) => value.number));
    case "message":
      return anyInit(field.message, depth - 1);
    case "list":
      return fc.array(
        field.listKind === "message"
          ? anyInit(field.message, depth - 1)
          : field.listKind === "enum"
            ? fc.constantFrom(...field.enum.values.map((value) => value.number))
            : anyScalar(field.scalar),
        { maxLength: 3 },
      );
    case "map":
      if (field.mapKind !== "scalar" || field.mapKey !== ScalarType.STRING) {
        throw new Error(`no arbitrary for ${field}`);
      }
      return fc.dictionary(fc.string({ maxLength: 5 }), anyScalar(field.scalar), { maxKeys: 3 });
  }
}

function anyScalar(type: ScalarType): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BYTES:
      return bytes;
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return uint64;
    case ScalarType.INT64:
      return int64;
    case ScalarType.UINT32:
      return fc.nat(0xffff_ffff);
    case ScalarType.INT32:
      return fc.integer();
    case ScalarType.DOUBLE:
      return fc.oneof(fc.double(), fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY));
    case ScalarType.FLOAT:
      return fc.float();
    default:
      throw new Error(`no arbitrary for scalar type ${type}`);
  }
}
