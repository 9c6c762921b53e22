import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EventSchema, type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import {
  BookmarkSchema,
  EventBatchSchema,
  StreamOpenedSchema,
  WatchEventsResponseSchema,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { TailraceError } from "../../src/base/errors.ts";
import type { CursorCodec } from "../../src/events/cursor.ts";
import { diagnosticOf, notice } from "../../src/events/diagnostics.ts";
import { kindName } from "../../src/events/kinds.ts";
import { decodeEvents } from "../../src/events/stored.ts";
import type { EventBlock } from "../../src/log/block.ts";
import type { ControlFrame, EventRun, WireForm } from "../../src/stream/form.ts";
import { chunkOf } from "../../src/wire/chunk.ts";
import { createForms } from "../../src/wire/forms.ts";
import { anyMessageWith } from "./arbitrary.ts";
import { blockOf } from "./blocks.ts";
import { end, newForms, output, parseSse, runtimeId, textIn, unwrap, wholeRun } from "./frames.ts";

const payloadFields = NewEventSchema.fields.filter((field) => field.oneof !== undefined);
const mostUsed = new Set(["output", "narration", "custom", "textDelta"]);

/** The batch that protobuf-es makes of a block. */
function expectedBatch(block: EventBlock, cursors: CursorCodec, indices?: readonly number[]) {
  const events = decodeEvents(block, cursors);
  const chosen = indices === undefined ? events : indices.map((index) => events[index] as (typeof events)[number]);
  return create(EventBatchSchema, { events: chosen, cursor: cursors.encode(end(block)), runtimeId });
}

describe("every kind, whatever is in it", () => {
  for (const field of payloadFields) {
    test(`${field.name}: as protobuf-es has it, in all forms`, () => {
      const { cursors, protobuf, json, sse } = newForms();
      fc.assert(
        fc.property(
          fc.array(anyMessageWith<NewEvent>(NewEventSchema, field), { minLength: 1, maxLength: 3 }),
          fc.integer({ min: 1, max: 2 ** 47 }),
          (events, firstSequence) => {
            for (const event of events) {
              // These are refused on publishing.
              event.workerId = event.workerId.slice(0, 60);
              event.jobId = event.jobId.slice(0, 60);
              event.correlationId = event.correlationId.slice(0, 60);
              if (event.payload.case === "custom") event.payload.value.type ||= "t";
            }
            const block = blockOf(events, { firstSequence });
            const batch = expectedBatch(block, cursors);
            const frame = { case: "events" as const, value: batch };
            const response = create(WatchEventsResponseSchema, { frame });

            const binary = unwrap(protobuf.events([wholeRun(protobuf, block)], end(block)));
            expect(Buffer.compare(binary, toBinary(WatchEventsResponseSchema, response))).toBe(0);

            const text = textIn(json.events([wholeRun(json, block)], end(block)));
            expect(text).toBe(JSON.stringify(toJson(WatchEventsResponseSchema, response)));

            const messages = parseSse(sse.events([wholeRun(sse, block)]));
            expect(messages.map(({ event, data, id }) => ({ event, data, id }))).toEqual(
              batch.events.map((event) => ({
                event: field.name,
                data: JSON.stringify(toJson(EventSchema, event)),
                id: event.cursor,
              })),
            );
          },
        ),
        { numRuns: mostUsed.has(field.localName) ? 400 : 50 },
      );
    });
  }
});

describe("runs", () => {
  const events = Array.from({ length: 12 }, (_, i) => output(i % 3 === 0 ? "" : `w-${i % 3}`, `text ${i}`));

  test("any parts of any blocks, in any order of asking, are frames of the same bytes", () => {
    const runs = fc.array(
      fc.record({
        block: fc.nat(1),
        pick: fc.oneof(
          fc.tuple(fc.nat(11), fc.nat(11)).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) + 1 })),
          fc.subarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], { minLength: 1 }).map((indices) => ({ indices })),
        ),
      }),
      { minLength: 1, maxLength: 4 },
    );
    fc.assert(
      fc.property(fc.array(runs, { minLength: 1, maxLength: 6 }), (frames) => {
        const { cursors, protobuf, json, sse } = newForms();
        const blocks = [blockOf(events), blockOf(events, { firstSequence: 100 })];
        const decoded = blocks.map((block) => decodeEvents(block, cursors));
        for (const wanted of frames) {
          const chosen = wanted.flatMap(({ block, pick }) => {
            const of = decoded[block] as (typeof decoded)[number];
            return "indices" in pick
              ? pick.indices.map((index) => of[index] as (typeof of)[number])
              : of.slice(pick.from, pick.to);
          });
          const runsOf = <E, F>(form: WireForm<E, F>): EventRun<E>[] =>
            wanted.map(({ block, pick }) => {
              const entries = entriesOf(form, blocks[block] as EventBlock);
              return "indices" in pick ? { entries, from: 0, to: 0, indices: pick.indices } : { entries, ...pick };
            });
          const through = end(blocks[1] as EventBlock);
          const value = create(EventBatchSchema, { events: chosen, cursor: cursors.encode(through), runtimeId });
          const response = create(WatchEventsResponseSchema, { frame: { case: "events", value } });

          const binary = protobuf.events(runsOf(protobuf), through);
          expect(Buffer.compare(unwrap(binary), toBinary(WatchEventsResponseSchema, response))).toBe(0);
          const text = json.events(runsOf(json), through);
          expect(JSON.parse(textIn(text))).toEqual(toJson(WatchEventsResponseSchema, response));
          const messages = parseSse(sse.events(runsOf(sse)));
          expect(messages.map(({ id }) => id)).toEqual(chosen.map(({ cursor }) => cursor));
          for (const [form, frame] of [[protobuf, binary] as const, [json, text] as const]) {
            expect(form.frameSize(frame)).toBe(frame.length);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  test("entry sizes add up to the frame", () => {
    const { protobuf, json, sse, cursors } = newForms();
    const block = blockOf(events);
    const sum = <E, F>(form: WireForm<E, F>) => {
      const entries = form.encode(block);
      return Array.from({ length: block.length }, (_, i) => form.entrySize(entries, i)).reduce((a, b) => a + b, 0);
    };
    const batch = expectedBatch(block, cursors);
    expect(sum(sse)).toBe(sse.events([wholeRun(sse, block)]).length);
    expect(sum(protobuf)).toBe(toBinary(EventBatchSchema, create(EventBatchSchema, { events: batch.events })).length);
    expect(sum(json)).toBe(
      batch.events.map((event) => JSON.stringify(toJson(EventSchema, event)).length + 1).reduce((a, b) => a + b),
    );
  });

  test("what a released block took serves another one, whose frames are the same", () => {
    const { protobuf } = newForms();
    const texts = Array.from({ length: 400 }, (_, i) => output(`w-${i % 7}`, "x".repeat(i)));
    for (const count of [400, 399, 130, 400, 128, 127, 400]) {
      const block = blockOf(texts.slice(400 - count));
      const entries = protobuf.encode(block);
      const fresh = newForms().protobuf;
      const expected = fresh.encode(block);
      const runs = [
        { from: 5, to: 9 },
        { from: 0, to: count },
        { from: 0, to: 0, indices: [3, count - 1] },
      ];
      for (const run of runs) {
        const frame = protobuf.events([{ entries, ...run }], end(block));
        expect(Buffer.from(frame).equals(fresh.events([{ entries: expected, ...run }], end(block)))).toBe(true);
      }
      protobuf.release(entries);
    }
  });

  test("frames that were given out never change", () => {
    const { protobuf, json, sse } = newForms();
    const block = blockOf(Array.from({ length: 400 }, (_, i) => output(`w-${i}`, "x".repeat(i))));
    const frames: { frame: Uint8Array; copy: Buffer }[] = [];
    for (const form of [protobuf, json, sse] as WireForm<unknown, Uint8Array>[]) {
      const entries = form.encode(block);
      for (let i = 0; i < block.length; i++) {
        const frame = form.events([{ entries, from: 0, to: 0, indices: [(i * 7) % block.length] }], end(block));
        frames.push({ frame, copy: Buffer.from(frame) });
      }
    }
    for (const { frame, copy } of frames) expect(copy.compare(frame)).toBe(0);
  });

  test("a frame of SSE is the same as a chunk, whatever was written before and after it", () => {
    const texts = Array.from({ length: 60 }, (_, i) => output(`w-${i}`, "x".repeat(i * 40)));
    const parts = [1, 2, 30, 60].flatMap((to) => [0, 1, to - 1].filter((from) => from < to).map((from) => [from, to]));
    for (const [firstFrom, firstTo] of parts) {
      const { sse } = newForms();
      const block = blockOf(texts);
      const entries = sse.encode(block);
      const given: { frame: Uint8Array; chunk: Uint8Array; text: string }[] = [];
      for (const [from, to] of [[firstFrom, firstTo], ...parts] as [number, number][]) {
        const frame = sse.events([{ entries, from, to }]);
        const text = Buffer.from(frame).toString("latin1");
        // What comes later is written behind what was given out.
        given.push({ frame, chunk: chunkOf(frame), text });
      }
      for (const { frame, chunk, text } of given) {
        expect(Buffer.from(frame).toString("latin1")).toBe(text);
        expect(Buffer.from(chunk).toString("latin1")).toBe(`${frame.length.toString(16)}\r\n${text}\r\n`);
        expect(text.match(/^event: output$/gm)).toHaveLength(text.split("\n\n").length - 1);
      }
    }
  });
});

describe("control frames", () => {
  const { protobuf, json, sse, cursors } = newForms();
  const cursor = cursors.encode({ ...end(blockOf([output("w", "x")])) });
  const error = new TailraceError("worker_not_found", { workerId: "a\nid: forged\n\n" }, "no\r\n\r\ndata: x");
  const frames: ControlFrame[] = [
    {
      case: "opened",
      value: create(StreamOpenedSchema, { runtimeId, cursor, heartbeatInterval: durationFromMs(15_000) }),
    },
    { case: "bookmark", value: create(BookmarkSchema, { cursor, serverTime: timestampFromMs(1234), lagEvents: 3n }) },
    { case: "diagnostic", value: diagnosticOf(error, cursor) },
    { case: "diagnostic", value: notice({ case: "caughtUp", value: {} }, "live", "") },
  ];

  test.each(frames.map((frame) => [frame.case, frame] as const))("%s", (_name, frame) => {
    const response = create(WatchEventsResponseSchema, { frame });
    expect(fromBinary(WatchEventsResponseSchema, unwrap(protobuf.control(frame)))).toEqual(response);
    const jsonResponse = toJson(WatchEventsResponseSchema, response) as Record<string, unknown>;
    expect(JSON.parse(textIn(json.control(frame)))).toEqual(jsonResponse);
    const text = Buffer.from(sse.control(frame)).toString();
    const messages = parseSse(Buffer.from(text));
    expect(messages).toHaveLength(1);
    expect(messages[0]?.event).toBe(frame.case);
    expect(JSON.parse(messages[0]?.data ?? "")).toEqual(jsonResponse[frame.case]);
    if (frame.value.cursor === "") expect(text).not.toContain("\nid:");
    else expect(text.endsWith(`\nid: ${frame.value.cursor}\n\n`)).toBe(true);
  });

  test("a cursor with a line end forges nothing", () => {
    const text = Buffer.from(
      sse.control({ case: "bookmark", value: create(BookmarkSchema, { cursor: "a\ndata: forged" }) }),
    ).toString();
    expect(text.split("\n").filter((line) => line.startsWith("data:"))).toHaveLength(1);
    expect(text).not.toContain("\nid:");
  });
});

test("one set of forms per runtime, and names that differ", () => {
  const { cursors, protobuf, json, sse } = newForms();
  expect(createForms(cursors).sse).toBe(sse);
  expect(new Set([protobuf.name, json.name, sse.name]).size).toBe(3);
  expect(kindName(40)).toBe("output");
});

function entriesOf<E, F>(form: WireForm<E, F>, block: EventBlock): E {
  let byForm = cache.get(block);
  if (byForm === undefined) {
    byForm = new Map();
    cache.set(block, byForm);
  }
  if (!byForm.has(form)) byForm.set(form, form.encode(block));
  return byForm.get(form) as E;
}

const cache = new WeakMap<EventBlock, Map<unknown, unknown>>();
