import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Event, EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { EventDecoder } from "../../src/client/decode-event.ts";

const payloads = EventSchema.fields.filter((field) => field.oneof !== undefined);
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const text = fc.oneof(fc.string({ unit: "grapheme", maxLength: 20 }), fc.constantFrom("", "worker-1", "\ufeffmarked"));
const time = fc.option(
  fc.record({
    seconds: fc.bigInt({ min: -(2n ** 40n), max: 2n ** 40n }),
    nanos: fc.integer({ min: 0, max: 999_999_999 }),
  }),
  { nil: undefined },
);

const event: fc.Arbitrary<Event> = fc
  .record({
    cursor: text,
    sequence: uint64,
    workerSequence: uint64,
    time,
    producerTime: time,
    workerId: text,
    jobId: text,
    correlationId: text,
    payload: fc.option(
      fc.oneof(
        fc.record({ action: text, message: text }).map((value) => ({ case: "narration" as const, value })),
        fc.record({ data: fc.uint8Array({ maxLength: 40 }), offset: uint64 }).map((value) => ({
          case: "output" as const,
          value,
        })),
        fc.constantFrom(...payloads.map((field) => ({ case: field.localName, value: {} }) as never)),
      ),
      { nil: undefined },
    ),
  })
  .map(({ time: at, producerTime, payload, ...rest }) =>
    create(EventSchema, {
      ...rest,
      ...(at === undefined ? {} : { time: at }),
      ...(producerTime === undefined ? {} : { producerTime }),
      ...(payload === undefined ? {} : { payload }),
    }),
  );

/** What a decoder makes of bytes: an event, or that it refuses them. */
function outcome(decode: () => Event): unknown {
  try {
    return decode();
  } catch {
    return "refused";
  }
}

describe("the decoder of events", () => {
  it("makes of every event what protobuf-es makes of it", () => {
    const decoder = new EventDecoder();
    fc.assert(
      fc.property(event, (one) => {
        const bytes = toBinary(EventSchema, one);
        const decoded = decoder.decode(bytes);
        expect(decoded).toStrictEqual(fromBinary(EventSchema, bytes));
        expect(toBinary(EventSchema, decoded)).toEqual(bytes);
      }),
      { numRuns: 1_000 },
    );
  });

  it("agrees with it about bytes that no server sends: cut, altered, joined, with fields of later releases", () => {
    const decoder = new EventDecoder();
    const altered = fc
      .tuple(event, event, fc.nat(), fc.nat(255), fc.constantFrom("cut", "alter", "join", "unknown"))
      .map(([first, second, at, byte, how]) => {
        const bytes = toBinary(EventSchema, first);
        if (how === "join") return Buffer.concat([bytes, toBinary(EventSchema, second)]);
        // Field 15, then 1,000: both of a later release.
        if (how === "unknown")
          return Buffer.concat([Buffer.from([0x78, byte & 127]), bytes, Buffer.from([0xc2, 0x3e, 0])]);
        if (how === "cut") return bytes.slice(0, at % (bytes.length + 1));
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        return bytes;
      });
    fc.assert(
      fc.property(altered, (mixed) => {
        const bytes = new Uint8Array(mixed);
        expect(outcome(() => decoder.decode(bytes))).toStrictEqual(outcome(() => fromBinary(EventSchema, bytes)));
      }),
      { numRuns: 3_000 },
    );
  });

  it("keeps a payload of a later release, so that passing it on loses nothing", () => {
    const bytes = Buffer.concat([
      toBinary(EventSchema, create(EventSchema, { cursor: "c", sequence: 1n, workerId: "w" })),
      Buffer.from([0xc2, 0x3e, 2, 8, 1]),
    ]);
    const decoded = new EventDecoder().decode(bytes);
    expect(decoded.payload.case).toBeUndefined();
    expect(toBinary(EventSchema, decoded)).toEqual(new Uint8Array(bytes));
  });
});
