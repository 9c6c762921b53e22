import { create, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Severity } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { EventSchema, type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { BookmarkSchema, StreamOpenedSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobState, type JobStateChangedSchema } from "../../gen/tailrace/v1/payloads_pb.ts";
import { TailraceError } from "../../src/base/errors.ts";
import { CursorCodec, origin } from "../../src/events/cursor.ts";
import { diagnosticOf, notice, streamEnded } from "../../src/events/diagnostics.ts";
import { decodeEvents } from "../../src/events/stored.ts";
import { positionAfter } from "../../src/log/block.ts";
import type { ControlFrame } from "../../src/stream/form.ts";
import { createForms } from "../../src/wire/forms.ts";
import { blockOf } from "./blocks.ts";

function newForm() {
  const cursors = new CursorCodec("runtime", 7n);
  return { cursors, form: createForms(cursors).simpleSse };
}

function narration(message: string, jobId = "j"): NewEvent {
  return create(NewEventSchema, { jobId, payload: { case: "narration", value: { action: "say", message } } });
}

function parse(bytes: Uint8Array): EventSourceMessage[] {
  const messages: EventSourceMessage[] = [];
  const parser = createParser({
    onEvent: (message) => messages.push(message),
    onError: (error) => {
      throw error;
    },
  });
  parser.feed(Buffer.from(bytes).toString());
  return messages;
}

function textOf(frame: ControlFrame): string {
  return Buffer.from(newForm().form.control(frame)).toString();
}

function ended(value: MessageInitShape<typeof JobStateChangedSchema>) {
  const { cursors } = newForm();
  const end = { case: "job" as const, value };
  return textOf({
    case: "diagnostic",
    value: streamEnded({ end }, "The job has ended.", cursors.encode(origin, true)),
  });
}

describe("events", () => {
  it("are one line of JSON each, with the cursor last, whatever is in their text", () => {
    const hostile = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .array(
          fc.constantFrom("\n", "\r", "\r\n", "data: [DONE]", "[DONE]", "id: x", "event: e", "\n\n", ":", "\u2028"),
        )
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(fc.array(hostile, { minLength: 1, maxLength: 5 }), (texts) => {
        const { cursors, form } = newForm();
        const block = blockOf(texts.map((text) => narration(text)));
        const frame = form.events([{ entries: form.encode(block), from: 0, to: block.length }]);
        const wanted = decodeEvents(block, cursors).map((event) => [
          undefined,
          JSON.stringify(toJson(EventSchema, event)),
          event.cursor,
        ]);
        expect(parse(frame).map(({ event, data, id }) => [event, data, id])).toEqual(wanted);
        // Also for readers that look at lines only.
        const lines = Buffer.from(frame)
          .toString()
          .split(/\r\n|\r|\n/);
        expect(lines.filter((line) => line.startsWith("data:"))).toHaveLength(texts.length);
        expect(lines.filter((line) => line.startsWith("data: ["))).toEqual([]);
      }),
    );
  });

  it("are given in any parts, of the size that was announced", () => {
    const { cursors, form } = newForm();
    const block = blockOf(Array.from({ length: 9 }, (_, i) => narration(`${i}`)));
    const entries = form.encode(block);
    const frame = form.events([
      { entries, from: 6, to: 8 },
      { entries, from: 0, to: 0, indices: [1, 4] },
    ]);
    const sizes = [6, 7, 1, 4].map((index) => form.entrySize(entries, index));
    expect(form.frameSize(frame)).toBe(sizes.reduce((a, b) => a + b));
    expect(parse(frame).map(({ id }) => id)).toEqual([6, 7, 1, 4].map((i) => cursors.encode(positionAfter(block, i))));
  });
});

describe("the end of a job", () => {
  it.each([
    [{ state: JobState.SUCCEEDED, message: "never mind" }, "[DONE]"],
    [{ state: JobState.CANCELLED, message: "enough", reason: "cancel_requested" }, "[CANCELLED]"],
    [{ state: JobState.FAILED, message: "no disk" }, "[ERROR] no disk"],
    [{ state: JobState.FAILED, reason: "exit_code" }, "[ERROR] exit_code"],
    [{ state: JobState.FAILED }, "[ERROR] The job failed."],
    [{ state: JobState.TIMED_OUT, message: "too slow", reason: "total_timeout" }, "[ERROR] too slow"],
    [{ state: JobState.FAILED, message: "a\r\ndata: [DONE]\n\nid: x\rz" }, "[ERROR] a data: [DONE] id: x z"],
  ])("%j is a marker", (state, marker) => {
    const { cursors } = newForm();
    const text = ended(state);
    expect(text).toBe(`data: ${marker}\nid: ${cursors.encode(origin, true)}\n\n`);
    expect(() => JSON.parse(marker)).toThrow();
  });
});

describe("other frames", () => {
  const cursor = new CursorCodec("runtime", 7n).encode(origin);

  it.each<[string, ControlFrame]>([
    [": opened\n\n", { case: "opened", value: create(StreamOpenedSchema, { cursor }) }],
    [": bookmark\n\n", { case: "bookmark", value: create(BookmarkSchema, { cursor }) }],
    [": caughtUp\n\n", { case: "diagnostic", value: notice({ case: "caughtUp", value: {} }, "live", cursor) }],
  ])("are comments: %j", (text, frame) => {
    expect(textOf(frame)).toBe(text);
  });

  it.each([
    new TailraceError("server_closing", { retryAfterMs: 1_500 }, "closing"),
    new TailraceError("log_unavailable", { sinceMs: 0, retryAfterMs: 1_500 }, "gone"),
    new TailraceError("limit_exceeded", { limit: "max_watches", maximum: 1, retryAfterMs: 1_500 }, "full"),
  ])("$reason tells nothing of the job: no marker, and when to come back", (error) => {
    const text = textOf({ case: "diagnostic", value: diagnosticOf(error, cursor) });
    expect(text).toMatch(/^: \w+\nretry: 1500\nid: \S+\n\n$/);
  });

  it.each([
    new TailraceError("job_not_found", { jobId: "j" }, "There is no job\n\ndata: [DONE]"),
    new TailraceError("limit_exceeded", { limit: "max_id_bytes", maximum: 1 }, "too long"),
    new TailraceError("internal", { incidentId: "i" }, "failed"),
  ])("$reason is a diagnostic by name and an error by marker", (error) => {
    const value = diagnosticOf(error, cursor);
    expect(value.severity).toBe(Severity.TERMINAL);
    const [named, marker, ...others] = parse(Buffer.from(textOf({ case: "diagnostic", value })));
    expect([named?.event, named?.id]).toEqual(["diagnostic", undefined]);
    expect(JSON.parse(named?.data ?? "").message).toBe(error.message);
    expect([marker?.event, marker?.data, marker?.id]).toEqual([
      undefined,
      `[ERROR] ${error.message.replace("\n\n", " ")}`,
      cursor,
    ]);
    expect(others).toEqual([]);
  });
});
