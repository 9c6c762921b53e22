import { expect, test } from "vitest";
import { defaultRetention } from "../../../../src/base/limits.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import type { GroupAppend, GroupHead, KeeperRole } from "../../../../src/log/jetstream/stream/heads.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { event } from "../../harness.ts";

/** A stream that is folded as it is written. */
function stream() {
  const fold = new Fold(defaultRetention, 0, 0);
  let sequence = 0;
  /** Gives for each append whether it was committed. */
  const write = (head: Partial<GroupHead>): boolean[] => {
    const whole: GroupHead = { writer: "w", number: sequence, timeMs: 0, appends: [], ...head };
    const events = whole.appends.flatMap(({ count }) => Array.from({ length: count }, () => event("a", "x")));
    const [message] = messagesOf("n", whole, events);
    const payload = message?.payload as Uint8Array;
    const folded = fold.take({ sequence: ++sequence, timeMs: 1_700_000_000_000, payload }, () => undefined);
    return folded?.results.map((result) => result !== undefined) ?? [];
  };
  return { fold, write };
}

test("what retention holds is said by the keeper that the stream names, whoever thinks that it is", () => {
  const { fold, write } = stream();
  const { retention } = fold.index;
  const says = (id: string, role: KeeperRole, workerEvents: number, hold: number) =>
    write({ keeper: { id, role }, retention: { ...defaultRetention, workerEvents }, hold });
  const now = () => [fold.keeper, retention.limits.workerEvents, retention.hold];
  says("one", "keeps", 1, 1);
  expect(now()).toEqual(["", defaultRetention.workerEvents, Number.POSITIVE_INFINITY]);
  says("one", "takes", 2, 2);
  expect(now()).toEqual(["one", 2, 2]);
  says("one", "keeps", 3, 3);
  says("two", "takes", 4, 4);
  expect(now()).toEqual(["two", 4, 4]);
  // It was paused, and does not know.
  says("one", "keeps", 5, 5);
  says("one", "leaves", 6, 6);
  expect(now()).toEqual(["two", 4, 4]);
  says("two", "leaves", 7, 7);
  expect(now()).toEqual(["", 7, 7]);
  says("two", "keeps", 8, 8);
  expect(now()).toEqual(["", 7, 7]);
});

test("an append is left out with the one before it on the same key of which it was on its way", () => {
  const { fold, write } = stream();
  const put = (own: Partial<GroupAppend> = {}): GroupAppend => ({
    count: 1,
    base: 0,
    state: new Map([["k", new Uint8Array(1)]]),
    ...own,
  });
  const after = (number: number) => ({ after: new Map([["k", number]]) });
  expect(write({ number: 1, appends: [put(), put(after(1))] })).toEqual([true, true]);
  // 3 was lost.
  expect(write({ number: 4, appends: [put(after(3)), put(after(4))] })).toEqual([false, false]);
  expect(write({ number: 6, appends: [put(after(2)), { count: 1, base: 0, fence: ["k"], ...after(6) }] })).toEqual([
    true,
    true,
  ]);
  // 8 is another's, which this one did not know of.
  expect(write({ writer: "v", number: 8, appends: [put({ base: 3 })] })).toEqual([true]);
  expect(write({ number: 8, appends: [put(after(6)), put(after(8))] })).toEqual([false, false]);
  expect(write({ number: 10, appends: [put({ base: 4 })] })).toEqual([true]);
  expect(fold.index.head.ordinal).toBe(6);
});

test("a group of which messages are missing is left out, also where the rest of another one fits its beginning", () => {
  setLimit("natsMessageBytes", 100);
  const pieces = (writer: string, text: string) => {
    const events = [event("a", text.repeat(60)), event("a", text.repeat(60))];
    const head = { writer, number: 1, timeMs: 0, appends: [{ count: 2, base: 0 }] };
    return messagesOf("n", head, events).map(({ payload }) => payload);
  };
  const [x, y, z] = [pieces("v", "x"), pieces("w", "y"), pieces("w", "z")];
  expect([x, y, z].map(({ length }) => length)).toEqual([3, 3, 3]);
  const all = [...x, ...y, ...z];
  const foldedWithout = (missing: readonly number[]): number => {
    const fold = new Fold(defaultRetention, 0, all.length);
    for (const [i, payload = new Uint8Array()] of all.entries()) {
      if (missing.includes(i + 1)) continue;
      fold.take({ sequence: i + 1, timeMs: 1_700_000_000_000, payload }, () => undefined);
    }
    return fold.index.head.ordinal;
  };
  expect(foldedWithout([])).toBe(6);
  for (let first = 1; first <= 6; first++) {
    for (let last = first; last <= 6; last++) {
      const missing = Array.from({ length: last - first + 1 }, (_, i) => first + i);
      // The last group is whole, and so may be one before or after what is missing.
      const whole = [first > 3, last < 4, true].filter(Boolean).length;
      expect([missing, foldedWithout(missing)]).toEqual([missing, 2 * whole]);
    }
  }
});

test("nothing counts that a server sent in a life before, be it an append or what a keeper says", () => {
  const { fold, write } = stream();
  const append: GroupAppend = { count: 1, base: 0 };
  const keeper = { id: "one", role: "takes" } as const;
  expect(write({ writer: "s.0", appends: [append] })).toEqual([true]);
  expect(write({ writer: "s.1", appends: [append] })).toEqual([true]);
  expect(write({ writer: "s.0", appends: [append], keeper, hold: 1 })).toEqual([]);
  expect([fold.index.head.ordinal, fold.keeper, fold.last]).toEqual([2, "", 3]);
  expect(write({ writer: "s.1", appends: [append], keeper })).toEqual([true]);
  expect([fold.index.head.ordinal, fold.keeper]).toEqual([3, "one"]);
});
