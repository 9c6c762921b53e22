import { create, type DescField, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EventKind, type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { limits } from "../../src/base/limits.ts";
import { EventScanner } from "../../src/events/scan.ts";
import { pendingEvent } from "../../src/events/stored.ts";
import type { PendingEvent } from "../../src/log/contract.ts";
import { anyMessageWith } from "../wire/arbitrary.ts";

const payloadFields = NewEventSchema.fields.filter((field) => field.oneof !== undefined);
const scanner = new EventScanner(() => true);

/** What decoding and encoding makes of an event; undefined: it is refused. */
function decoded(bytes: Uint8Array): PendingEvent | undefined {
  try {
    return pendingEvent(fromBinary(NewEventSchema, bytes));
  } catch {
    return undefined;
  }
}

/** Whether an event was taken as it came. If so, decoding and encoding must make the very same of it. */
function taken(bytes: Uint8Array): boolean {
  const scanned = scanner.scan(bytes);
  if (scanned === undefined) return false;
  expect(scanned).toEqual({ ...decoded(bytes), body: bytes });
  expect(Buffer.compare(scanned.body, decoded(bytes)?.body as Uint8Array)).toBe(0);
  return true;
}

/** A few bytes of an encoded event changed, dropped, doubled or put in. */
const mutation = fc.record({
  kind: fc.constantFrom("set", "flip", "drop", "insert", "cut", "repeat"),
  at: fc.double({ min: 0, max: 0.9999, noNaN: true }),
  byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 8, 0x0a, 0x12, 0x80, 0xff)),
});

function mutated(bytes: Uint8Array, changes: readonly { kind: string; at: number; byte: number }[]): Uint8Array {
  let result = [...bytes];
  for (const { kind, at, byte } of changes) {
    // Most of what decides lies in the first bytes.
    const place = Math.floor(at * at * result.length);
    if (kind === "set") result[place] = byte;
    else if (kind === "flip") result[place] = (result[place] ?? 0) ^ (1 << (byte & 7));
    else if (kind === "drop") result.splice(place, 1);
    else if (kind === "insert") result.splice(place, 0, byte);
    else if (kind === "cut") result = result.slice(0, place);
    else result = [...result, ...result.slice(place)];
  }
  return Uint8Array.from(result);
}

function runsOf(field: DescField): number {
  return ["output", "narration", "custom"].includes(field.localName) ? 1000 : 60;
}

function encoded(init: Parameters<typeof create<typeof NewEventSchema>>[1]): Uint8Array {
  return toBinary(NewEventSchema, create(NewEventSchema, init));
}

const output = { case: "output" as const, value: { data: new Uint8Array([1]) } };

describe("what is taken as it came is what decoding and encoding makes of it", () => {
  for (const field of payloadFields) {
    test(`${field.name}, also mutated`, () => {
      fc.assert(
        fc.property(
          anyMessageWith<NewEvent>(NewEventSchema, field),
          fc.array(fc.array(mutation, { minLength: 1, maxLength: 3 }), { maxLength: 8 }),
          (event, mutations) => {
            const bytes = toBinary(NewEventSchema, event);
            taken(bytes);
            for (const changes of mutations) taken(mutated(bytes, changes));
          },
        ),
        { numRuns: runsOf(field) },
      );
    });
  }

  test("any bytes", () => {
    const tags = fc.constantFrom([0x2a], [0x32], [0x3a], [0x42], [0xc2, 0x02], [0xd2, 0x05], [0xc2, 0x0c], [0x0a], [8]);
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 6 }).map((bytes) => [...bytes]),
      fc.tuple(tags, fc.uint8Array({ maxLength: 12 })).map(([tag, bytes]) => [...tag, bytes.length, ...bytes]),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        taken(Uint8Array.from(pieces.flat()));
      }),
      { numRuns: 20_000 },
    );
  });
});

describe("what is taken", () => {
  for (const field of payloadFields) {
    test(`${field.name}, as encoders write it`, () => {
      const plain = encoded({
        workerId: "w-ß",
        jobId: "j-ß",
        correlationId: "c",
        producerTime: { seconds: 1_790_000_000n, nanos: 5 },
        payload: { case: field.localName, value: field.localName === "custom" ? { type: "t" } : {} } as never,
      });
      expect(taken(plain)).toBe(true);
    });
  }

  test("texts of any script and length, numbers, lists and messages within messages", () => {
    for (const message of ["ß", "x".repeat(5000), "\ufeff𝄞".repeat(100), "\u0000"]) {
      expect(taken(encoded({ payload: { case: "narration", value: { message, level: 2, inputTokens: 0n } } }))).toBe(
        true,
      );
    }
    const tools = ["a", "", "b"];
    expect(taken(encoded({ payload: { case: "greeting", value: { tools } } }))).toBe(true);
    expect(taken(encoded({ payload: { case: "progress", value: { total: 0 } } }))).toBe(true);
    const offset = BigInt(Number.MAX_SAFE_INTEGER);
    expect(taken(encoded({ payload: { case: "output", value: { offset } } }))).toBe(true);
  });

  test("an event of the worker and job before it, and of others", () => {
    const ids = ["a", "a", "b", "ab", "", "a", "a".repeat(limits.maxIdBytes)];
    for (const [workerId, jobId] of ids.flatMap((one) => ids.map((other) => [one, other] as const))) {
      const bytes = encoded({ workerId, jobId, payload: output });
      expect(scanner.scan(bytes)).toEqual({ workerId, jobId, kind: EventKind.OUTPUT, body: bytes });
    }
  });

  test("a body is the bytes themselves, and nothing else of the request is held", () => {
    const bytes = encoded({ workerId: "w", payload: output });
    expect(scanner.scan(bytes)?.body).toBe(bytes);
  });
});

describe("what is left to be decoded", () => {
  const event = encoded({ workerId: "w", payload: output });
  const field = (number: number, bytes: Uint8Array): Uint8Array =>
    new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  const bytesOf = (...parts: (Uint8Array | number[])[]): Uint8Array =>
    Uint8Array.from(parts.flatMap((part) => [...part]));

  test.each([
    ["no payload", encoded({ workerId: "w" })],
    ["nothing", new Uint8Array()],
    ["two payloads", bytesOf(event, encoded({ payload: { case: "alert", value: {} } }))],
    ["a payload that comes twice", Uint8Array.from([...event, ...encoded({ payload: output })])],
    ["a worker that comes twice", Uint8Array.from([...field(6, text("v")), ...event])],
    ["fields out of order", Uint8Array.from([...encoded({ payload: output }), ...field(6, text("w"))])],
    ["a field that only the runtime assigns", Uint8Array.from([...field(1, text("c")), ...event])],
    ["a field that is not known", Uint8Array.from([...event, ...field(7777, text("x"))])],
    ["a kind that is not known", Uint8Array.from([...field(6, text("w")), ...field(7777, text("x"))])],
    ["a job that comes twice", Uint8Array.from([...field(7, text("i")), ...encoded({ jobId: "j", payload: output })])],
    ["an empty job that is written", Uint8Array.from([...field(7, text("")), ...encoded({ payload: output })])],
    ["a job id that is too long", encoded({ jobId: "x".repeat(limits.maxIdBytes + 1), payload: output })],
    [
      "a job id that is no text",
      Uint8Array.from([...field(7, new Uint8Array([0xff])), ...encoded({ payload: output })]),
    ],
    ["an id that is too long", encoded({ workerId: "x".repeat(limits.maxIdBytes + 1), payload: output })],
    ["an id that is no text", Uint8Array.from([...field(6, new Uint8Array([0xff])), ...encoded({ payload: output })])],
    ["a text that is none", field(EventKind.NARRATION, field(1, new Uint8Array([0xc3])))],
    ["a custom event without a type", encoded({ payload: { case: "custom", value: { contentType: "t" } } })],
    ["an empty custom event", encoded({ payload: { case: "custom", value: {} } })],
    ["what is cut off", event.subarray(0, -1)],
    ["output to be split", encoded({ payload: { case: "output", value: { data: new Uint8Array(300_000) } } })],
    ["a map", encoded({ payload: { case: "workerUpdated", value: { info: { labels: { a: "b" } } } } })],
    ["a number that is no number", encoded({ payload: { case: "progress", value: { total: Number.NaN } } })],
    ["a text that comes twice", field(EventKind.ALERT, bytesOf(field(2, text("a")), field(2, text("b"))))],
    ["an empty text that is written", field(EventKind.ALERT, field(2, text("")))],
    ["a zero that is written", field(EventKind.OUTPUT, bytesOf([8, 0]))],
    ["a double of zero that is written", field(EventKind.PROGRESS, bytesOf([0x11], new Uint8Array(8)))],
    ["a negative number", encoded({ payload: { case: "workerEnded", value: { exitCode: -1 } } })],
    ["a number beyond its type", field(EventKind.OUTPUT, bytesOf([8, 0x80, 0x80, 0x80, 0x80, 0x10]))],
    ["a number beyond 2^53", encoded({ payload: { case: "output", value: { offset: 2n ** 53n } } })],
    ["two of a oneof", field(EventKind.USER_MESSAGE, field(1, bytesOf(field(1, text("a")), field(2, text("b")))))],
    ["a field of another type", field(EventKind.ALERT, bytesOf([0x10, 1]))],
    ["a field beyond its message", bytesOf([0xc2, 0x07, 2, 0x12, 3], text("abc"))],
    [
      "a length that is longer than it need be",
      Uint8Array.from([0x32, 0x81, 0x00, 0x77, ...encoded({ payload: output })]),
    ],
  ])("%s", (_what, bytes) => {
    expect(scanner.scan(bytes)).toBeUndefined();
  });

  test("kinds that the caller wants to see", () => {
    const others = new EventScanner((kind) => kind !== EventKind.OUTPUT);
    expect(others.scan(event)).toBeUndefined();
    expect(others.scan(encoded({ payload: { case: "alert", value: {} } }))).toBeDefined();
  });
});
