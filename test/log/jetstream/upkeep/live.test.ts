import { expect, test } from "vitest";
import { defaultRetention } from "../../../../src/base/limits.ts";
import type { PendingEvent } from "../../../../src/log/contract.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import type { GroupHead } from "../../../../src/log/jetstream/stream/heads.ts";
import { liveSequences, stepsPerTurn, visitLive } from "../../../../src/log/jetstream/upkeep/live.ts";
import { lostRows } from "../../../../src/log/jetstream/upkeep/lost.ts";
import { event, events, jobEvents } from "../../harness.ts";

/** A stream that is folded as it is written. */
function stream(workerEvents = defaultRetention.workerEvents) {
  const fold = new Fold({ ...defaultRetention, workerEvents }, 0, 0);
  const write = (own: readonly PendingEvent[], head: Partial<GroupHead> = {}): void => {
    const appends = own.length === 0 ? [] : [{ count: own.length, base: 0 }];
    const whole: GroupHead = { writer: "w", number: fold.last, timeMs: 0, appends, ...head };
    for (const { payload } of messagesOf("n", whole, own)) {
      fold.take({ sequence: (fold.newest?.sequence ?? 0) + 1, timeMs: 1_700_000_000_000, payload }, () => undefined);
    }
  };
  return { fold, write };
}

/** Every retained event: of whom, its sequence, and that of its message. */
async function retained(fold: Fold) {
  const all: { workerId: string; jobId: string | undefined; sequence: number; at: number }[] = [];
  await visitLive(fold, (chunk, row, at) => {
    const { holders } = fold.index;
    const [worker, job] = [holders.workerOf(chunk, row), holders.jobOf(chunk, row)];
    all.push({ workerId: worker.id, jobId: job?.id, sequence: chunk.sequences[row] as number, at });
  });
  return all;
}

test("what is retained is seen in order, each message once, while others get their turn", async () => {
  const { fold, write } = stream(10_000);
  write([event("quiet", "1")]);
  for (let i = 0; i < 300; i++) write(events("loud", 100, i * 100));
  const seen = await retained(fold);
  expect(seen).toHaveLength(10_001);
  expect(seen.map(({ sequence }) => sequence)).toEqual(seen.map(({ sequence }) => sequence).toSorted((a, b) => a - b));
  expect([...(await liveSequences(fold))]).toEqual([1, ...Array.from({ length: 100 }, (_, i) => 202 + i)]);
});

test("what is removed or comes while the retained events are looked at does no harm", async () => {
  const { fold, write } = stream();
  write([event("quiet", "1")]);
  for (let i = 0; i < 30; i++) write(events("loud", 1_000, i * 1_000));
  let turns = 0;
  let most = 0;
  let steps = 0;
  const sequences: number[] = [];
  const others = () => {
    steps = 0;
    // Lets go of chunks before and behind, and begins new ones.
    if (turns++ === 0) write([], { lost: [{ isJob: false, id: "loud", sequence: fold.index.head.sequence - 2_000 }] });
    if (turns < 10) write(events("loud", 1_000));
  };
  await visitLive(fold, (chunk, row) => {
    sequences.push(chunk.sequences[row] as number);
    // Runs as soon as others get their turn.
    if (steps++ === 0) queueMicrotask(others);
    most = Math.max(most, steps);
  });
  expect(turns).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(stepsPerTurn);
  expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
  expect(new Set(sequences).size).toBe(sequences.length);
  // What was there from the beginning to the end.
  expect(sequences).toContain(1);
  for (let sequence = 28_002; sequence <= 30_001; sequence++) expect(sequences).toContain(sequence);
});

test("lost are the workers and jobs whose retained events were in messages that are gone, up to the last of them", async () => {
  const { fold, write } = stream(6_000);
  for (let i = 0; i < 2_000; i++) {
    write([...events("a", 4, i), ...jobEvents("b", `j${i % 3}`, 3, i), ...(i % 7 === 0 ? events("c", 1, i) : [])]);
  }
  // More than a message takes: its events are in several.
  write(Array.from({ length: 40 }, (_, i) => event("d", `${i}`.padEnd(16_000, "."))));
  expect(fold.last).toBe(2_002);
  const rows = await retained(fold);
  const expected = (from: number, before: number, has: (at: number) => boolean) => {
    const through = new Map<string, number>();
    for (const { workerId, jobId, sequence, at } of rows) {
      if (at < from || at >= before || !has(at)) continue;
      through.set(`worker ${workerId}`, sequence);
      if (jobId !== undefined) through.set(`job ${jobId}`, sequence);
    }
    return through;
  };
  const ranges = [
    [0, 1],
    [0, 900],
    [700, 1_100],
    [1_500, 1_501],
    [1_999, 2_002],
    [2_002, 2_003],
    [0, 5_000],
    [9, 9],
  ];
  for (const [from = 0, before = 0] of ranges) {
    for (const has of [undefined, (at: number) => at % 2 === 0]) {
      const found = lostRows(fold, { from, before, ...(has === undefined ? {} : { has }) });
      const through = new Map(found.map(({ isJob, id, sequence }) => [`${isJob ? "job" : "worker"} ${id}`, sequence]));
      expect(through).toEqual(expected(from, before, has ?? (() => true)));
      expect(through.size).toBe(found.length);
    }
  }
});
