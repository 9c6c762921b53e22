import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { hasReason } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { encodeNewEvent } from "../../src/events/encode.ts";
import { pendingEvent } from "../../src/events/stored.ts";
import { anyMessageWith } from "../wire/arbitrary.ts";

const payloadFields = NewEventSchema.fields.filter((field) => field.oneof !== undefined);

function output(init: { workerId?: string; data?: Uint8Array } = {}): NewEvent {
  return create(NewEventSchema, {
    workerId: init.workerId ?? "w",
    payload: { case: "output", value: { data: init.data ?? new Uint8Array([1]) } },
  });
}

function refusal(event: NewEvent, index?: number): { field: string; description: string } {
  try {
    pendingEvent(event, index);
  } catch (error) {
    if (hasReason(error, "invalid_request")) return error.details;
    throw error;
  }
  throw new Error("was not refused");
}

describe("encodeNewEvent", () => {
  for (const field of payloadFields) {
    test(`gives the bytes of protobuf-es for ${field.name}`, () => {
      fc.assert(
        fc.property(anyMessageWith<NewEvent>(NewEventSchema, field), (event) => {
          expect(encodeNewEvent(event)).toEqual(toBinary(NewEventSchema, event));
        }),
        {
          numRuns:
            field.localName === "output" || field.localName === "narration" || field.localName === "custom" ? 1000 : 30,
        },
      );
    });
  }

  test("keeps fields that the schema does not know, at every level", () => {
    const unknown = [{ no: 13, wireType: WireType.Varint, data: new Uint8Array([5]) }];
    const event = output();
    event.$unknown = unknown;
    expect(encodeNewEvent(event)).toEqual(toBinary(NewEventSchema, event));
    const inner = output();
    if (inner.payload.case === "output") inner.payload.value.$unknown = unknown;
    expect(encodeNewEvent(inner)).toEqual(toBinary(NewEventSchema, inner));
  });

  test("lone surrogates become the replacement character", () => {
    const event = create(NewEventSchema, {
      workerId: "a\ud800",
      payload: { case: "narration", value: { message: `${"x".repeat(100)}\udc00` } },
    });
    const decoded = fromBinary(NewEventSchema, encodeNewEvent(event));
    expect(decoded.workerId).toBe("a\ufffd");
  });

  test("never writes again to bytes that were given out", () => {
    const given: { bytes: Uint8Array; copy: Uint8Array }[] = [];
    for (let i = 0; i < 2000; i++) {
      const data = new Uint8Array(i % 100 === 0 ? 70_000 : i % 500).fill(i & 0xff);
      const bytes = encodeNewEvent(output({ workerId: `w-${i}`, data }));
      given.push({ bytes, copy: bytes.slice() });
    }
    for (const { bytes, copy } of given) expect(Buffer.compare(bytes, copy)).toBe(0);
  });

  test("a small event does not hold the memory of a large one", () => {
    encodeNewEvent(output({ data: new Uint8Array(400_000) }));
    expect(encodeNewEvent(output()).buffer.byteLength).toBeLessThan(100_000);
  });
});

describe("pendingEvent", () => {
  test("says worker, kind and body", () => {
    const event = output({ workerId: "w-1" });
    expect(pendingEvent(event)).toEqual({
      workerId: "w-1",
      jobId: event.jobId,
      kind: 40,
      body: toBinary(NewEventSchema, event),
    });
  });

  test("finds the kind of a payload that the schema does not know, and keeps it", () => {
    const bytes = new BinaryWriter().tag(6, WireType.LengthDelimited).string("w").tag(7777, WireType.LengthDelimited);
    bytes.bytes(new Uint8Array([8, 1]));
    const encoded = bytes.finish();
    const pending = pendingEvent(fromBinary(NewEventSchema, encoded));
    expect(pending.kind).toBe(7777);
    expect(pending.body).toEqual(encoded);
  });

  test.each([1, 2, 3, 4])("refuses field %i, which only the runtime assigns", (no) => {
    const event = output();
    event.$unknown = [{ no, wireType: WireType.Varint, data: new Uint8Array([1]) }];
    expect(refusal(event, 7).field).toBe(`events[7].#${no}`);
  });

  test("refuses two payloads and none", () => {
    const two = output();
    two.$unknown = [{ no: 7777, wireType: WireType.Varint, data: new Uint8Array([1]) }];
    expect(refusal(two, 0).field).toBe("events[0].payload");
    expect(refusal(create(NewEventSchema, { workerId: "w" })).field).toBe("payload");
    const reserved = create(NewEventSchema, { workerId: "w" });
    reserved.$unknown = [{ no: 12, wireType: WireType.Varint, data: new Uint8Array([1]) }];
    expect(refusal(reserved).field).toBe("payload");
  });

  test("bounds ids by their bytes", () => {
    expect(() => pendingEvent(output({ workerId: "x".repeat(limits.maxIdBytes) }))).not.toThrow();
    expect(refusal(output({ workerId: "x".repeat(limits.maxIdBytes + 1) })).field).toBe("worker_id");
    expect(refusal(output({ workerId: "ß".repeat(limits.maxIdBytes / 2 + 1) }), 3).field).toBe("events[3].worker_id");
    expect(() => pendingEvent(output({ workerId: "ß".repeat(limits.maxIdBytes / 2) }))).not.toThrow();
    expect(refusal(output({ workerId: "a\ud800" })).field).toBe("worker_id");
    expect(refusal(output({ workerId: "\udc00" }), 3).field).toBe("events[3].worker_id");
    expect(() => pendingEvent(output({ workerId: "\ud83d\ude00" }))).not.toThrow();
  });

  test("bounds the event as stored", () => {
    const largest = limits.maxEventBytes - 64;
    expect(() => pendingEvent(output({ data: new Uint8Array(largest) }))).not.toThrow();
    expect(refusal(output({ data: new Uint8Array(limits.maxEventBytes) }), 1).field).toBe("events[1]");
    const large = create(NewEventSchema, {
      payload: { case: "alert", value: { message: "x".repeat(limits.maxEventBytes) } },
    });
    expect(refusal(large).field).toBe("event");
  });

  test("names the value that the schema does not allow", () => {
    const event = output();
    if (event.payload.case === "output") event.payload.value.offset = -1n;
    expect(refusal(event, 2).field).toBe("events[2].payload");
  });

  test("refuses a custom event without a type", () => {
    const event = create(NewEventSchema, { payload: { case: "custom", value: { data: new Uint8Array([1]) } } });
    expect(refusal(event).field).toBe("custom.type");
  });
});
