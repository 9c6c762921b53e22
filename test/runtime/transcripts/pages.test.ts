import { create, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Event } from "../../../gen/tailrace/v1/event_pb.ts";
import { WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import {
  GetTranscriptRequestSchema,
  type GetTranscriptResponse,
  GetTranscriptResponseSchema,
  TranscriptEntrySchema,
} from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../../../src/base/limits.ts";
import { foldTranscript } from "../../../src/events/transcript/fold.ts";
import { settle, transcriptOfPages, wholeTranscript } from "../../../src/events/transcript/messages.ts";
import { emptyTranscript, type TranscriptState } from "../../../src/events/transcript/state.ts";
import { transcriptPageToken } from "../../../src/runtime/page-tokens.ts";
import { transcriptSpec } from "../../../src/runtime/requests-transcript.ts";
import { transcriptPage } from "../../../src/runtime/transcripts/page.ts";
import { eventsOf, type PayloadInit, transcriptPayload } from "../../events/transcript/arbitrary.ts";

type Request = Parameters<typeof create<typeof GetTranscriptRequestSchema>>[1];

function page(transcript: TranscriptState, request: Request): GetTranscriptResponse {
  const instant = { transcript, workerState: transcript.workerState, historyAt: () => "7.0", cursor: "" };
  return transcriptPage(instant, transcriptSpec(create(GetTranscriptRequestSchema, { workerId: "w", ...request })));
}

function shown(state: TranscriptState): unknown {
  return { ...(toJson(GetTranscriptResponseSchema, wholeTranscript(state)) as object), bytes: state.bytes };
}

/** The transcript after 0, 1, 2, ... events. */
function statesOf(events: readonly Event[], start = emptyTranscript()): TranscriptState[] {
  const states = [start];
  for (const event of events) states.push(foldTranscript(states.at(-1) as TranscriptState, event));
  return states;
}

const numbers = (answer: GetTranscriptResponse) => answer.entries.map(({ entryNumber }) => Number(entryNumber));
const messages = (count: number): PayloadInit[] =>
  Array.from({ length: count }, (_, i) => ({ case: "userMessage", value: { messageId: `m${i + 1}` } }) as PayloadInit);

test("pages that were read at different instants, and the events in between, make the true transcript", () => {
  let settled = 0;
  let again = 0;
  const quiet = transcriptPayload.filter(({ case: kind }) => kind !== "rewindApplied" && kind !== "transcriptSnapshot");
  const history = fc.array(fc.oneof({ weight: 9, arbitrary: quiet }, { weight: 1, arbitrary: transcriptPayload }), {
    minLength: 20,
    maxLength: 120,
  });
  const steps = fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(history, steps, fc.integer({ min: 1, max: 6 }), fc.boolean(), (payloads, steps, pageSize, bounded) => {
      const events = eventsOf(payloads);
      const start = bounded ? emptyTranscript({ maxEntries: 20, maxBytes: 1e6 }) : emptyTranscript();
      const states = statesOf(events, start);
      let at = Math.min(events.length, 10);
      const first = at;
      const pages: GetTranscriptResponse[] = [];
      for (let pageToken = ""; ; at = Math.min(events.length, at + (steps[pages.length % steps.length] as number))) {
        const answer = page(states[at] as TranscriptState, { pageSize, pageToken });
        pages.push(answer);
        pageToken = answer.nextPageToken;
        if (pageToken === "") break;
      }
      const merged = transcriptOfPages(pages);
      const caughtUp = merged && events.slice(first, at).reduce(foldTranscript, merged);
      const state = caughtUp && settle(caughtUp, pages.at(-1) as GetTranscriptResponse);
      if (state === undefined) {
        again++;
        return;
      }
      settled++;
      expect(shown(state)).toEqual(shown(states[at] as TranscriptState));
      const rest = events.slice(at);
      expect(shown(rest.reduce(foldTranscript, state))).toEqual(shown(states.at(-1) as TranscriptState));
    }),
    { numRuns: 400 },
  );
  // Only a rewind, a snapshot or a drop of what was not read yet makes a read begin again.
  expect(settled).toBeGreaterThan(again);
});

describe("pages", () => {
  test("stay where they are while entries are added, oldest first", () => {
    const states = statesOf(eventsOf(messages(30)));
    const seen: number[] = [];
    let at = 10;
    for (let pageToken = ""; ; at += 3) {
      const answer = page(states[at] as TranscriptState, { pageSize: 4, pageToken });
      seen.push(...numbers(answer));
      pageToken = answer.nextPageToken;
      if (pageToken === "") break;
    }
    expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => i + 1));
    expect(seen.length).toBeGreaterThan(20);
  });

  test("stay where they are while entries are added, newest first, and each is in order", () => {
    const states = statesOf(eventsOf(messages(30)));
    const read: number[][] = [];
    let at = 10;
    for (let pageToken = ""; ; at += 5) {
      const answer = page(states[at] as TranscriptState, { pageSize: 4, pageToken, newestFirst: true });
      read.push(numbers(answer));
      pageToken = answer.nextPageToken;
      if (pageToken === "") break;
    }
    expect(read).toEqual([
      [7, 8, 9, 10],
      [3, 4, 5, 6],
      [1, 2],
    ]);
  });

  test("have at most 1 MiB, but always an entry", () => {
    const text = "x".repeat(400_000);
    const items = Array.from({ length: 5 }, () => ({ case: "systemItem", value: { json: text } }) as PayloadInit);
    const state = statesOf(eventsOf(items)).at(-1) as TranscriptState;
    expect(state.entries.length).toBe(5);
    let pageToken = "";
    const counts: number[] = [];
    do {
      const answer = page(state, { pageToken });
      expect(toBinary(GetTranscriptResponseSchema, answer).length).toBeLessThanOrEqual(limits.maxPageBytes);
      counts.push(answer.entries.length);
      pageToken = answer.nextPageToken;
    } while (pageToken !== "");
    expect(counts).toEqual([2, 2, 1]);
  });

  test("count bytes as they are on the wire, never fewer", () => {
    fc.assert(
      fc.property(fc.array(transcriptPayload, { maxLength: 40 }), (payloads) => {
        const state = statesOf(eventsOf(payloads)).at(-1) as TranscriptState;
        let wire = 0;
        for (const entry of state.entries) wire += toBinary(TranscriptEntrySchema, entry).length + 4;
        expect(state.bytes).toBeGreaterThanOrEqual(wire);
      }),
    );
  });

  test("give only what changed since a revision, or all of it when entries were taken back", () => {
    const states = statesOf(
      eventsOf([
        ...messages(3),
        { case: "textDelta", value: { blockId: "b", offset: 0n, text: "one" } } as PayloadInit,
        { case: "textDelta", value: { blockId: "b", offset: 3n, text: " two" } } as PayloadInit,
        ...messages(1),
        { case: "rewindApplied", value: { targetId: "b" } } as PayloadInit,
      ]),
    );
    const { revision } = page(states[4] as TranscriptState, {});
    const changed = page(states[6] as TranscriptState, { changedSince: revision });
    expect([numbers(changed), changed.reset]).toEqual([[4, 5], false]);
    expect(page(states[4] as TranscriptState, { changedSince: revision }).entries).toEqual([]);
    const rewound = page(states[7] as TranscriptState, { changedSince: revision });
    expect([numbers(rewound), rewound.reset]).toEqual([[1, 2, 3, 6], true]);
    const foreign = page(states[4] as TranscriptState, { changedSince: revision.replace(/^7/, "8") });
    expect([numbers(foreign), foreign.reset]).toEqual([[1, 2, 3, 4], true]);
  });

  test("say not modified while nothing changed, and only then", () => {
    const states = statesOf(eventsOf([...messages(2), { case: "usage", value: {} } as PayloadInit, ...messages(1)]));
    const { revision } = page(states[2] as TranscriptState, {});
    const same = page(states[3] as TranscriptState, { ifRevisionNot: revision });
    expect(same).toMatchObject({ notModified: true, entries: [], revision });
    expect(page(states[4] as TranscriptState, { ifRevisionNot: revision }).notModified).toBe(false);
    const working = { ...(states[3] as TranscriptState), workerState: WorkerState.RUNNING };
    expect(page(working, { ifRevisionNot: revision }).notModified).toBe(false);
  });

  test.each([
    [{ pageSize: 1001 }, "page_size"],
    [{ workerId: "" }, "worker_id"],
    [{ pageToken: transcriptPageToken("w", 0, false) }, "page_token"],
    [{ pageToken: transcriptPageToken("another", 4, false) }, "page_token"],
    [{ pageToken: transcriptPageToken("w", 4, true) }, "page_token"],
    [{ pageToken: transcriptPageToken("w", 4, false), newestFirst: true }, "page_token"],
    [{ changedSince: "yesterday" }, "changed_since"],
  ])("refuse %j by the name of the field", (request, field) => {
    expect(() => page(emptyTranscript(), request)).toThrow(
      expect.objectContaining({ reason: "invalid_request", details: expect.objectContaining({ field }) }),
    );
  });
});
