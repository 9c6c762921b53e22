import fc from "fast-check";

function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

function nested(depth: number, open: string, inside: string, close: string): string {
  return open.repeat(depth) + inside + close.repeat(depth);
}

/** What is no JSON at all. */
const noJson = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 200 }).filter((some) => !isJson(some)),
  fc.json({ maxDepth: 3 }).map((text) => bytes(`${text}}`)),
  fc.constantFrom("{", "[", '{"a":', "\u0000", "{'a':1}", '{"a":1,}', "NaN", "\ufeff{}x", "{}{}").map(bytes),
);

function isJson(some: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(some).toString());
    return true;
  } catch {
    return false;
  }
}

/** JSON that is no message: another type, or a member that no message has. */
const noMessage = fc.oneof(
  fc
    .jsonValue({ maxDepth: 4 })
    .filter((value) => typeof value !== "object" || Array.isArray(value))
    .map((value) => bytes(JSON.stringify(value))),
  fc
    .tuple(fc.string({ unit: "binary", maxLength: 30 }), fc.jsonValue({ maxDepth: 3 }))
    .map(([name, value]) => bytes(`{${JSON.stringify(`${name}~`)}:${JSON.stringify(value)}}`)),
  fc.integer({ min: 101, max: 20_000 }).map((depth) => bytes(nested(depth, "[", "", "]"))),
  fc.integer({ min: 101, max: 20_000 }).map((depth) => bytes(nested(depth, '{"a":', "1", "}"))),
);

/** Bodies that no route and no RPC takes. */
export const wrongJson: fc.Arbitrary<Uint8Array> = fc.oneof(noJson, noMessage);

const long = fc.integer({ min: 257, max: 5_000 }).map((length) => "x".repeat(length));
const notText = fc.oneof(fc.integer(), fc.boolean(), fc.constant([]), fc.constant({}));

/** A member of SubmitJobRequest with a value that it does not take. */
const wrongMembers = fc.oneof(
  fc.record({
    operation: fc.oneof(
      notText,
      long,
      fc.constant(""),
      fc.string({ minLength: 1 }).map((s) => `no ${s}`),
    ),
  }),
  fc.record({ params: fc.oneof(fc.integer(), fc.boolean(), fc.string(), fc.array(fc.jsonValue())) }),
  // The operation "tell" takes a list of texts.
  fc.record({
    params: fc.record({
      texts: fc.jsonValue().filter((v) => !(Array.isArray(v) && v.every((text) => typeof text === "string"))),
    }),
  }),
  fc.integer({ min: 70, max: 400 }).map((depth) => ({
    params: JSON.parse(`{"texts":[],"deep":${nested(depth, "[", "", "]")}}`) as object,
  })),
  fc.constant({ params: { texts: ["y".repeat(100_000)] } }),
  fc
    .record({ start: fc.oneof(fc.constantFrom("SOON", "", "job_start_deferred", 3, -1, 2 ** 31, 1.5), notText) })
    .filter(({ start }) => ![0, 1, 2].includes(start as number)),
  fc.record({ idempotencyKey: fc.oneof(notText, long) }),
  fc.record({ worker_id: fc.oneof(notText, long) }),
  fc.record({ correlationId: fc.oneof(notText, long) }),
  fc.record({
    timeouts: fc.oneof(
      fc.constantFrom([], "5s", 5, { total: "5" }, { total: 5 }, { idle: "-1s" }, { queue: "0s" }, { other: "1s" }),
      fc.record({ total: fc.string().map((text) => `${text}~`) }),
      fc.constantFrom({ total: "999999999999999s" }, { idle: "1.0000000001s" }, { total: { seconds: 1 } }),
    ),
  }),
);

/** Bodies of a submit that make no job. */
export const wrongSubmit: fc.Arbitrary<Uint8Array> = fc.oneof(
  wrongJson,
  wrongMembers.map((members) => bytes(JSON.stringify({ operation: "tell", params: { texts: [] }, ...members }))),
);
