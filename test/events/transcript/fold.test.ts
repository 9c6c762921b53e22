import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Event } from "../../../gen/tailrace/v1/event_pb.ts";
import { GetTranscriptResponseSchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { totalSize } from "../../../src/events/transcript/draft.ts";
import { foldTranscript } from "../../../src/events/transcript/fold.ts";
import { transcriptOf, wholeTranscript } from "../../../src/events/transcript/messages.ts";
import { emptyTranscript, type TranscriptState } from "../../../src/events/transcript/state.ts";
import { eventsOf, transcriptPayload } from "./arbitrary.ts";

const histories = fc.array(transcriptPayload, { maxLength: 80 }).map((payloads) => eventsOf(payloads));
const small = { maxEntries: 6, maxBytes: 1500 };

function fold(events: readonly Event[], from: TranscriptState = emptyTranscript()): TranscriptState {
  return events.reduce(foldTranscript, from);
}

/** A transcript as text, down to the last number. */
function shown(state: TranscriptState): unknown {
  return { ...(toJson(GetTranscriptResponseSchema, wholeTranscript(state)) as object), bytes: state.bytes };
}

/** What comes back after a transcript was written down. */
function restored(state: TranscriptState): TranscriptState {
  const written = toBinary(GetTranscriptResponseSchema, wholeTranscript(state));
  return transcriptOf(fromBinary(GetTranscriptResponseSchema, written));
}

test("an event that is in the transcript already changes nothing, at any time", () => {
  fc.assert(
    fc.property(histories, fc.nat(), fc.nat(), (events, at, again) => {
      const cut = at % (events.length + 1);
      const state = fold(events.slice(0, cut));
      if (cut === 0) return;
      const repeated = events[again % cut] as Event;
      expect(foldTranscript(state, repeated)).toBe(state);
      expect(shown(fold(events.slice(0, cut), state))).toEqual(shown(state));
    }),
  );
});

test("a transcript that was written down goes on as if it had not been, wherever it was cut", () => {
  fc.assert(
    fc.property(histories, fc.boolean(), (events, bounded) => {
      const start = bounded ? emptyTranscript(small) : emptyTranscript();
      const whole = shown(fold(events, start));
      for (let cut = 0; cut <= events.length; cut++) {
        const state = fold(events.slice(0, cut), start);
        expect(shown(restored(state))).toEqual(shown(state));
        expect(shown(fold(events.slice(cut), restored(state)))).toEqual(whole);
      }
    }),
    { numRuns: 40 },
  );
});

test("what an event changes says so, and nothing that was there before is touched", () => {
  fc.assert(
    fc.property(histories, (events) => {
      let state = emptyTranscript();
      for (const event of events) {
        const before = state;
        const text = JSON.stringify(shown(before));
        state = foldTranscript(state, event);
        expect(JSON.stringify(shown(before))).toBe(text);
        for (const entry of state.entries) {
          const same = before.entries.get(Number(entry.entryNumber)) === entry;
          expect(entry.revision === event.sequence).toBe(!same);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test("entries keep their order, numbers are never given twice, and the counts are right", () => {
  fc.assert(
    fc.property(histories, fc.boolean(), (events, bounded) => {
      let state = bounded ? emptyTranscript(small) : emptyTranscript();
      const seen = new Map<number, bigint>();
      for (const event of events) {
        state = foldTranscript(state, event);
        let last = 0;
        for (const entry of state.entries) {
          const entryNumber = Number(entry.entryNumber);
          expect(entryNumber).toBeGreaterThan(last);
          last = entryNumber;
          expect(seen.get(entryNumber) ?? entry.createSequence).toBe(entry.createSequence);
          seen.set(entryNumber, entry.createSequence);
          expect(state.openEntries.includes(entryNumber)).toBe(!entry.isFinal);
        }
        expect(state.nextEntryNumber).toBeGreaterThan(last);
        expect(state.bytes).toBe(totalSize(state.entries));
        if (bounded) {
          expect(state.entries.length).toBeLessThanOrEqual(small.maxEntries);
          expect(state.bytes <= small.maxBytes || state.entries.length === 1).toBe(true);
        } else {
          expect(state.droppedEntries).toBe(0);
        }
      }
    }),
  );
});
