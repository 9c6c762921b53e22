import fc from "fast-check";
import { expect, test } from "vitest";
import { defaultRetention } from "../../../../src/base/limits.ts";
import { CursorCodec } from "../../../../src/events/cursor.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { restoreSnapshot, SnapshotCut } from "../../../../src/log/jetstream/fold/snapshot.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { event } from "../../harness.ts";

const groups = fc.array(
  fc.record({
    writer: fc.constantFrom("one", "two", "three", "four", "five"),
    /** Events of each append; a fenced one may be left out. */
    appends: fc.array(fc.record({ events: fc.nat(2), fenced: fc.boolean() }), { maxLength: 3 }),
    /** Whether the writer puts what the others fence. */
    puts: fc.boolean(),
  }),
  { minLength: 1, maxLength: 25 },
);

interface Group {
  readonly writer: string;
  readonly appends: readonly { readonly events: number; readonly fenced: boolean }[];
  readonly puts: boolean;
}

function streamOf(all: readonly Group[]) {
  return all.map(({ writer, appends, puts }, i) => {
    const events = appends.flatMap((append) => Array.from({ length: append.events }, () => event("w", `${i}`)));
    const head = {
      writer,
      number: i + 1,
      timeMs: 1,
      appends: appends.map((append) => ({
        count: append.events,
        base: 0,
        ...(append.fenced ? { fence: ["k"] } : {}),
        ...(puts ? { state: new Map([["k", Uint8Array.of(i)]]) } : {}),
      })),
    };
    const [message] = messagesOf("n", head, events);
    return { sequence: i + 1, timeMs: 1, payload: message?.payload as Uint8Array };
  });
}

/** Folds messages, and gives who wrote each event and what its cursor said when it was told. */
function foldAll(fold: Fold, messages: ReturnType<typeof streamOf>, all: readonly Group[]) {
  const told: { sequence: number; writer: string; tag: number }[] = [];
  const cursors = new CursorCodec("r", 1n, fold.index.epochs);
  for (const message of messages) {
    fold.take(message, (block) => {
      for (const sequence of block.sequences.subarray(0, block.length)) {
        const at = { sequence, ordinal: sequence, workerHash: 0, workerOrdinal: 0, jobHash: 0, jobOrdinal: 0 };
        const { epoch: tag } = cursors.decode(cursors.encode(at));
        told.push({ sequence, writer: (all[message.sequence - 1] as Group).writer, tag });
      }
    });
  }
  return told;
}

test.each([4_096, 2])("every server has the same epochs, of which %i are remembered", (remembered) => {
  setLimit("logEpochs", remembered);
  fc.assert(
    fc.property(groups, fc.nat(), (all, some) => {
      const messages = streamOf(all);
      const whole = new Fold(defaultRetention, 0, 0);
      const told = foldAll(whole, messages, all);
      const { epochs } = whole.index;
      const expected: { after: number; writer: string }[] = [];
      for (const { sequence, writer } of told) {
        if (expected.some((one) => one.writer === writer)) continue;
        expected.push({ after: sequence - 1, writer });
        if (expected.length > remembered) expected.shift();
      }
      expect([...epochs.beginnings()]).toEqual(expected);
      // What was told keeps its epoch for as long as that is remembered.
      for (const { sequence, tag } of told) expect(epochs.has(sequence, tag)).toBe(true);

      const at = some % (messages.length + 1);
      const first = new Fold(defaultRetention, 0, 0);
      const toldFirst = foldAll(first, messages.slice(0, at), all);
      const second = new Fold(defaultRetention, 0, 0);
      restoreSnapshot(second, Buffer.concat([...new SnapshotCut(first).pieces()]));
      expect([...toldFirst, ...foldAll(second, messages.slice(at), all)]).toEqual(told);
      expect(second.index.epochs).toEqual(epochs);
    }),
    { numRuns: 300 },
  );
});

test("of a log that went back, what comes then is in no epoch of what was lost, whoever wrote before", () => {
  fc.assert(
    fc.property(groups, groups, fc.nat(), (before, since, some) => {
      const at = some % (before.length + 1);
      const backup = before.slice(0, at);
      // Every process that opens the log has a name of its own.
      const now = [...backup, ...since.map((group) => ({ ...group, writer: `again ${group.writer}` }))];
      const lost = foldAll(new Fold(defaultRetention, 0, 0), streamOf(before), before);
      const restored = new Fold(defaultRetention, 0, 0);
      const kept = foldAll(restored, streamOf(backup), backup).length;
      foldAll(restored, streamOf(now).slice(at), now);
      const { epochs, head } = restored.index;
      for (const { sequence, tag } of lost) {
        if (sequence <= head.sequence) expect(epochs.has(sequence, tag)).toBe(sequence <= kept);
      }
    }),
    { numRuns: 300 },
  );
});
