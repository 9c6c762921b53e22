import { setImmediate as nextTurn } from "node:timers/promises";
import { toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { GetTranscriptResponseSchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { decodeEvents } from "../../../src/events/stored.ts";
import { foldTranscript, transcriptKinds } from "../../../src/events/transcript/fold.ts";
import { wholeTranscript } from "../../../src/events/transcript/messages.ts";
import { emptyTranscript, type TranscriptState } from "../../../src/events/transcript/state.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { conversation, getTranscript, stateOf, take } from "./support.ts";

const rounds = 10_000;
const lives = 5;
/** Small enough that old entries are dropped all the time, and that an answer is compared in no time. */
const bounds = { maxEntries: 12, maxBytes: 100_000 };

const bytesOf = (state: TranscriptState) => toBinary(GetTranscriptResponseSchema, wholeTranscript(state));

test(`${rounds} times the transcript, then a watch from its cursor, under continuous writes and over restarts`, async () => {
  const directory = scratchDirectory();
  const events = conversation("w");
  /** The transcript as it was after each event, folded from the first on. */
  const truth = new Map<number, TranscriptState>();
  let newest = emptyTranscript(bounds);
  let done = 0;
  /** What was unfinished when a reader came. */
  const attached = new Map<string, number>();

  for (let life = 1; life <= lives; life++) {
    const log = await openEmbeddedLog({ directory, durability: "process", retention: { workerEvents: 2_000 } });
    const runtime = new Runtime({
      log,
      transcripts: bounds,
      onError: (error) => {
        throw error;
      },
    });
    log.subscribe((block) => {
      for (const event of decodeEvents(block, runtime.cursors)) {
        if (event.workerId !== "w") continue;
        newest = foldTranscript(newest, event);
        truth.set(newest.sequence, newest);
      }
    });
    if (life === 1) await runtime.publish(take(events, 1));
    let writing = true;
    const writer = (async () => {
      for (let n = 0; writing; n++) {
        await runtime.publish(take(events, 1 + (n % 3)));
        await nextTurn();
      }
    })();

    for (; done < (rounds * life) / lives; done++) {
      const answer = await getTranscript(runtime, "w");
      let state = stateOf(answer);
      expect(bytesOf(state)).toEqual(bytesOf(truth.get(state.sequence) ?? emptyTranscript(bounds)));
      for (const open of state.openEntries) {
        const kind = state.entries.get(open)?.content.case ?? "";
        attached.set(kind, (attached.get(kind) ?? 0) + 1);
      }
      let wanted = 1 + (done % 4);
      const request = { workerIds: ["w"], kinds: [...transcriptKinds], start: cursor(answer.cursor) };
      for await (const frame of runtime.watch(request)) {
        if (frame.case !== "events") continue;
        for (const event of frame.value.events) {
          const before = state;
          state = foldTranscript(state, event);
          // Nothing comes twice, and nothing is left out, or the next comparison would fail.
          expect(state).not.toBe(before);
          wanted--;
        }
        if (wanted <= 0) break;
      }
      const expected = truth.get(state.sequence) as TranscriptState;
      if (!Buffer.from(bytesOf(state)).equals(bytesOf(expected))) {
        expect(wholeTranscript(state)).toEqual(wholeTranscript(expected));
      }
    }
    writing = false;
    await writer;
    await runtime.close();
  }
  expect(done).toBe(rounds);
  // Readers came in the middle of everything.
  for (const kind of ["text", "thinking", "toolCall"]) expect(attached.get(kind)).toBeGreaterThan(100);
}, 900_000);

function cursor(value: string) {
  return { case: "cursor", value } as const;
}
