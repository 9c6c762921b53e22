import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { ManualClock } from "../../../../src/base/clock.ts";
import { resolveRetention } from "../../../../src/log/index/retention.ts";
import type { Meta } from "../../../../src/log/jetstream/bucket/meta.ts";
import { Fold } from "../../../../src/log/jetstream/fold/fold.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import type { Publisher } from "../../../../src/log/jetstream/publish/publisher.ts";
import type { GroupHead } from "../../../../src/log/jetstream/stream/heads.ts";
import { Keeper } from "../../../../src/log/jetstream/upkeep/keeper.ts";
import { events } from "../../harness.ts";

const maxAgeMs = 60_000;

/** A server that looks after a stream with one event in it, whose time is another than its own. `hold`: of it from the start. */
async function keeperOf(aheadMs: number, hold?: number) {
  const retention = resolveRetention({ ageMs: maxAgeMs, workerAgeMs: maxAgeMs });
  const stream = new ManualClock();
  const own = new ManualClock(stream.now() + aheadMs);
  const fold = new Fold(retention, 0, 0);
  const roles: (string | undefined)[] = [];
  const holds: GroupHead["hold"][] = [];
  let keeper: Keeper | undefined;
  const write = (head: Partial<GroupHead>, workerId = "") => {
    const pending = workerId === "" ? [] : events(workerId, 1);
    const appends = pending.length === 0 ? [] : [{ count: 1, base: 0 }];
    const whole: GroupHead = { writer: "w", number: fold.last + 1, timeMs: 0, appends, ...head };
    for (const { payload } of messagesOf("n", whole, pending)) {
      fold.take({ sequence: fold.last + 1, timeMs: stream.now(), payload }, () => undefined);
    }
    keeper?.folded();
  };
  const publisher = {
    control: async (control: Partial<GroupHead>) => {
      await nextTurn();
      roles.push(control.keeper?.role);
      holds.push(control.hold);
      write(control);
    },
  };
  const meta = { get: async () => undefined, swap: async () => 1, remove: async () => undefined };
  const parts = { fold, retention, clock: own };
  keeper = new Keeper({
    withReserve: (act) => act(),
    ...parts,
    meta: meta as unknown as Meta,
    publisher: publisher as unknown as Publisher,
  });
  onTestFinished(() => {
    keeper.stop();
    return keeper.leave(false);
  });
  write({}, "first");
  if (hold !== undefined) keeper.holdAfter(hold);
  await keeper.start();
  const advance = async (ms: number) => {
    for (let left = ms; left > 0; left -= 1_000) {
      for (const clock of [stream, own]) clock.advance(Math.min(left, 1_000));
      for (let turns = 0; turns < 5; turns++) await nextTurn();
    }
  };
  return { fold, roles, holds, write, advance };
}

test.each([
  ["right", 0],
  ["a day ahead", 24 * 60 * 60 * 1000],
])(
  "who looks after the stream with a clock that is %s says what time it is when something is due",
  async (_, aheadMs) => {
    const { fold, roles, write, advance } = await keeperOf(aheadMs);
    write({}, "a");
    await advance(maxAgeMs - 5_000);
    expect(fold.index.holders.workers.entryOf("a")?.retainedEvents).toBe(1);
    // It may look once too early, and not every second.
    expect(roles.filter((role) => role === "keeps").length).toBeLessThanOrEqual(2);
    await advance(10_000);
    expect(fold.index.retention.oldestTime()).toBe(undefined);
    expect(roles.filter((role) => role === "keeps").length).toBeLessThanOrEqual(4);
  },
);

test("who takes over lets nothing go that it has not seen, and says what it holds once it has seen what there is", async () => {
  const { holds, advance } = await keeperOf(0, Number.POSITIVE_INFINITY);
  await advance(1_000);
  expect(holds).toEqual([1, Number.POSITIVE_INFINITY]);
});
