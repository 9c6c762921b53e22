import fc from "fast-check";
import { expect, test } from "vitest";
import { defaultRetention } from "../../../../src/base/limits.ts";
import type { StatePut } from "../../../../src/log/contract.ts";
import { StreamGap } from "../../../../src/log/jetstream/fold/assembly.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { Puts } from "../../../../src/log/jetstream/fold/puts.ts";
import { restoreSnapshot, SnapshotCut } from "../../../../src/log/jetstream/fold/snapshot.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import { decodeHead, encodeHead, type GroupHead } from "../../../../src/log/jetstream/stream/heads.ts";
import { decodeMessage } from "../../../../src/log/jetstream/stream/messages.ts";
import { eventSubject } from "../../../../src/log/jetstream/stream/subjects.ts";
import { resultBytes } from "../../../../src/log/state-put.ts";
import { event, type Seen, seenOf } from "../../harness.ts";

const ids = fc.constantFrom("", "a", "b.*", "ü>", "c");
const names = fc.constantFrom("", "j", "k");
const pending = fc
  .record({ worker: ids, job: names, kind: fc.integer({ min: 1, max: 300 }), text: fc.string({ maxLength: 60 }) })
  .map(({ worker, job, kind, text }) => event(worker, text, kind, job));
const put: fc.Arbitrary<StatePut> = fc.oneof(
  fc.constant(null),
  fc.uint8Array({ maxLength: 20 }),
  fc.integer({ min: 0, max: 3 }).map((resultAt) => ({ bytes: new Uint8Array(resultBytes + 3), resultAt })),
);
const append = fc.record({
  events: fc.array(pending, { maxLength: 6 }),
  state: fc.uniqueArray(fc.tuple(fc.constantFrom("x", "y", "z"), put), { selector: ([key]) => key, maxLength: 2 }),
  forgetJobs: fc.subarray(["j", "k"], { maxLength: 1 }),
  fence: fc.subarray(["x", "z"], { maxLength: 1 }),
  /** How far behind its writer was. */
  behind: fc.integer({ min: 0, max: 3 }),
  /** Whether it waits for another one of its writer. */
  after: fc.boolean(),
});
const group = fc.record({
  writer: fc.constantFrom("one.0", "one.1", "two.0", "two.3"),
  appends: fc.array(append, { minLength: 1, maxLength: 3 }),
  keeper: fc.option(
    fc.record({
      id: fc.constantFrom("one", "two"),
      role: fc.constantFrom("takes", "keeps", "leaves"),
    }),
    { nil: undefined },
  ),
  hold: fc.option(fc.integer({ min: 0, max: 40 }), { nil: undefined }),
  advanceMs: fc.integer({ min: -500, max: 5_000 }),
});
const retention = fc.record({
  workerEvents: fc.integer({ min: 1, max: 12 }),
  workerBytes: fc.integer({ min: 100, max: 2_000 }),
  workerAgeMs: fc.integer({ min: 1_000, max: 30_000 }),
  events: fc.integer({ min: 2, max: 25 }),
  bytes: fc.constant(Number.POSITIVE_INFINITY),
  ageMs: fc.constant(Number.POSITIVE_INFINITY),
});

type Group = typeof group extends fc.Arbitrary<infer T> ? T : never;

/** The messages of a stream into which these groups were written. */
function streamOf(groups: readonly Group[]) {
  const messages: { sequence: number; timeMs: number; payload: Uint8Array }[] = [];
  let timeMs = 1_700_000_000_000;
  for (const [i, { writer, appends, keeper, hold, advanceMs }] of groups.entries()) {
    timeMs += advanceMs;
    const head: GroupHead = {
      writer,
      number: i,
      timeMs,
      appends: appends.map(({ events, state, forgetJobs, fence, behind, after }) => ({
        count: events.length,
        base: Math.max(0, messages.length - behind),
        state: new Map(state),
        forgetJobs,
        fence,
        ...(after ? { after: new Map([["x", i - 1]]) } : {}),
      })),
      ...(keeper === undefined ? {} : { keeper }),
      ...(hold === undefined ? {} : { hold }),
    };
    const events = appends.flatMap((one) => one.events);
    for (const { payload } of messagesOf("n", head, events)) {
      messages.push({ sequence: messages.length + 1, timeMs, payload });
    }
  }
  return messages;
}

/** What can be asked of a fold. */
function knownTo({ index, last, puts, lives, keeper }: Fold) {
  const entries = (all: Iterable<object>) =>
    [...all]
      .map((entry) => {
        const { number: _number, slot: _slot, queue: _queue, ...rest } = entry as Record<string, unknown>;
        return rest;
      })
      .sort((one, other) => (String(one["id"]) < String(other["id"]) ? -1 : 1));
  const rows = index.columns.chunks.flatMap((chunk) =>
    Array.from({ length: chunk.length }, (_, row) => row)
      .filter((row) => index.holders.isLive(chunk, row))
      .map((row) => [
        chunk.sequences[row],
        chunk.ordinals[row],
        index.holders.workerOf(chunk, row).id,
        chunk.workerOrdinals[row],
        index.holders.jobOf(chunk, row)?.id ?? "",
        chunk.jobOrdinals?.[row] ?? 0,
        chunk.kinds[row],
        chunk.times[row],
        chunk.segments[row],
        chunk.offsets[row],
        chunk.sizes[row],
      ]),
  );
  return {
    last,
    lives: [...lives.entries()],
    rows,
    head: index.head,
    floors: [index.removal.floor, index.removal.forgottenFloor],
    workers: entries(index.workers.existing()),
    jobs: entries(index.jobs.existing()),
    state: [...index.state].sort(([a], [b]) => (a < b ? -1 : 1)),
    puts: [...puts.entries()],
    keeper,
  };
}

test("what is encoded is decoded as it was", () => {
  fc.assert(
    fc.property(fc.array(group, { minLength: 1, maxLength: 4 }), (groups) => {
      for (const { payload } of streamOf(groups)) {
        const message = decodeMessage(payload);
        expect(message).toMatchObject({ index: 1, of: 1 });
        const head = decodeHead(message.head);
        expect(decodeHead(encodeHead(head))).toEqual(head);
        expect(message.events).toHaveLength(head.appends.reduce((sum, { count }) => sum + count, 0));
      }
      const [first] = groups;
      const events = first?.appends.flatMap((one) => one.events) ?? [];
      expect(decodeMessage(streamOf(groups)[0]?.payload as Uint8Array).events).toEqual(events);
    }),
  );
  const keeper = { id: "k", role: "leaves" } as const;
  const lost = [{ isJob: true, id: "j", sequence: 2 ** 40 }];
  const head: GroupHead = { writer: "w", number: 7, timeMs: 0, appends: [], retention: defaultRetention, lost };
  for (const one of [head, { ...head, hold: "state", trimsAll: true }, { ...head, hold: 3, keeper }] as GroupHead[]) {
    expect(decodeHead(encodeHead(one))).toEqual(one);
  }
  expect(() => decodeMessage(Uint8Array.of(0x54, 0x52, 9))).toThrow("format 9");
  for (const foreign of [[], [9], [0x54], [0x54, 0x52, 1, 1]]) {
    expect(() => decodeMessage(Uint8Array.from(foreign))).toThrow(RangeError);
  }
});

test("a fold that goes on after a snapshot knows what one knows that folded everything", () => {
  fc.assert(
    fc.property(retention, fc.array(group, { minLength: 2, maxLength: 25 }), fc.nat(), (limits, groups, some) => {
      const messages = streamOf(groups);
      const at = 1 + (some % messages.length);
      const whole = new Fold(limits, 0, 0);
      const first = new Fold(limits, 0, 0);
      const told: [Seen[], Seen[]] = [[], []];
      for (const message of messages) whole.take(message, (block) => told[0].push(...seenOf(block)));
      for (const message of messages.slice(0, at)) first.take(message, (block) => told[1].push(...seenOf(block)));
      const second = new Fold(defaultRetention, 0, 0);
      const known = knownTo(first);
      const cut = new SnapshotCut(first);
      // The fold goes on before the snapshot is written.
      for (const message of messages.slice(at)) first.take(message, () => undefined);
      restoreSnapshot(second, Buffer.concat([...cut.pieces()]));
      expect(knownTo(second)).toEqual(known);
      for (const message of messages.slice(at)) second.take(message, (block) => told[1].push(...seenOf(block)));
      expect(told[1]).toEqual(told[0]);
      expect(knownTo(second)).toEqual(knownTo(whole));
    }),
    { numRuns: 300 },
  );
});

test("a group of several messages is folded whole, and each event is where it lies", () => {
  const events = Array.from({ length: 60 }, (_, i) => event(i % 2 === 0 ? "a" : "b", `${i % 10}`.repeat(16_000)));
  const head: GroupHead = { writer: "w", number: 1, timeMs: 5, appends: [{ count: 60, base: 0 }] };
  const messages = messagesOf("n", head, events).map(({ payload }, i) => ({ sequence: i + 1, timeMs: 5, payload }));
  expect(messages.length).toBeGreaterThan(1);
  const fold = new Fold(defaultRetention, 0, 0);
  const told: Seen[] = [];
  for (const message of messages) {
    expect(told).toEqual([]);
    fold.take(message, (block) => told.push(...seenOf(block)));
  }
  expect(told.map((one) => one.ordinal)).toEqual(events.map((_, i) => i + 1));
  const chunk = fold.index.columns.chunks[0];
  expect(new Set(chunk?.segments.subarray(0, 60)).size).toBe(
    messages.filter(({ payload }) => decodeMessage(payload).events.length > 0).length,
  );
});

test("missing messages are noticed, unless they were missing when the log began", () => {
  const messages = streamOf(
    [1, 2, 3].map(() => ({ writer: "w", appends: [], hold: undefined, advanceMs: 0 })) as unknown as Group[],
  );
  const [, second, third] = messages as [object, (typeof messages)[0], (typeof messages)[0]];
  const strict = new Fold(defaultRetention, 0, 0);
  expect(() => strict.take(second, () => undefined)).toThrow(StreamGap);
  const lenient = new Fold(defaultRetention, 0, 1);
  lenient.take(second, () => undefined);
  lenient.take(third, () => undefined);
  expect(lenient.last).toBe(3);
});

test("a key that somebody else put is not put by who did not know, however long ago that was", () => {
  const puts = new Puts();
  const conflict = (key: string, base: number, writer: string, after?: number) => {
    const own = after === undefined ? {} : { after: new Map([[key, after]]) };
    return puts.conflict([key], { writer, base, ...own });
  };
  puts.note(["k"], { at: 10, writer: "one", number: 3 });
  expect(conflict("k", 9, "two")).toBe(true);
  expect(conflict("k", 10, "two")).toBe(false);
  expect(conflict("k", 9, "one")).toBe(false);
  expect(conflict("other", 0, "two")).toBe(false);
  // One that came after another of the same writer, which is the last one there, was lost, or is not.
  expect(conflict("k", 9, "one", 3)).toBe(false);
  expect(conflict("k", 10, "one", 4)).toBe(true);
  expect(conflict("k", 9, "two", 3)).toBe(true);
  expect(conflict("other", 10, "one", 1)).toBe(true);
  for (let i = 0; i < 70_000; i++) puts.note([`key${i}`], { at: 11 + i, writer: "one", number: 4 + i });
  expect(puts.size).toBeLessThan(70_000);
  expect(conflict("k", 9, "two")).toBe(true);
  expect(puts.conflict([], { writer: "two", base: 9 })).toBe(false);
  expect(conflict("k", puts.floor, "two")).toBe(false);
});

test("subjects name workers and jobs, whatever their ids have in them", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (worker, job) => {
      expect(eventSubject("n", worker, job)).toMatch(/^tailrace\.n\.e\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/);
    }),
  );
  expect(eventSubject("n", "", undefined)).toBe("tailrace.n.e.-.~");
});

test("an append whose fence another writer crossed is left out, and the rest of its group is not", () => {
  const fold = new Fold(defaultRetention, 0, 0);
  const told: string[] = [];
  const take = (sequence: number, head: Omit<GroupHead, "number" | "timeMs">, ...written: string[]) => {
    const pendingEvents = written.map((text) => event("a", text));
    const [message] = messagesOf("n", { ...head, number: sequence, timeMs: 1 }, pendingEvents);
    const payload = message?.payload as Uint8Array;
    return fold.take({ sequence, timeMs: 1, payload }, (block) => told.push(...seenOf(block).map((one) => one.text)));
  };
  take(1, { writer: "one", appends: [{ count: 1, base: 0, state: new Map([["job/j", Uint8Array.of(1)]]) }] }, "ended");
  const late = { count: 1, base: 0, fence: ["job/j"] };
  const folded = take(
    2,
    { writer: "two", appends: [late, { count: 1, base: 0 }, { ...late, base: 1 }] },
    "x",
    "y",
    "z",
  );
  expect(told).toEqual(["ended", "y", "z"]);
  expect(folded?.results.map((result) => result?.last.workerOrdinal)).toEqual([undefined, 2, 3]);
  // Each lies where it is in the message, beside what was left out.
  const chunk = fold.index.columns.chunks[0];
  const size = chunk?.sizes[1] as number;
  expect([chunk?.offsets[1], chunk?.offsets[2]]).toEqual([size, 2 * size]);
});
