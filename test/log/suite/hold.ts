import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import type { RetentionLimits } from "../../../src/base/limits.ts";
import { holdKey } from "../../../src/log/contract.ts";
import { eventually } from "../../support/until.ts";
import { events, type Implementation, job, jobEvents, readAll, runtimeScope, texts, workers } from "../harness.ts";

const limits: [string, Partial<RetentionLimits>][] = [
  ["events per worker", { workerEvents: 4 }],
  ["bytes per worker", { workerBytes: 70 }],
  ["events of the whole log", { events: 8 }],
  ["bytes of the whole log", { bytes: 140 }],
  ["age", { workerAgeMs: 60_000 }],
];

export function holdSuite({ create }: Implementation): void {
  describe("hold", () => {
    test.each(limits)(
      "nothing after it goes beyond a limit on %s until it moves, and then by itself",
      async (_, retention) => {
        const clock = new ManualClock();
        const log = await create().open({ clock, retention });
        const { last } = await log.append({ events: [...events("a", 2), ...jobEvents("b", "j", 2)] });
        log.holdAfter(last.sequence);
        for (let i = 0; i < 10; i++) {
          clock.advance(10_000);
          await log.append({ events: [...events("a", 1, i + 3), ...jobEvents("b", "j", 1, i + 3)] });
        }
        // What was there before may go, nothing else.
        const seen = await readAll(log, { after: last.sequence });
        expect(seen).toHaveLength(20);
        expect(log.bounds(runtimeScope).floor.sequence).toBeLessThanOrEqual(last.sequence);
        expect(log.bounds(workers("a")).floor.workerOrdinal).toBeLessThanOrEqual(2);
        expect(log.bounds(job("j")).floor.jobOrdinal).toBeLessThanOrEqual(2);

        // It moves some way: what is beyond the limits goes up to there.
        const middle = seen[5]?.sequence as number;
        log.holdAfter(middle);
        await eventually(() => expect(log.bounds(runtimeScope).floor.sequence).toBe(middle));
        expect(await readAll(log)).toEqual(seen.slice(6));
        log.holdAfter(Number.POSITIVE_INFINITY);
        clock.advance(30_000);
        await eventually(() => expect(log.bounds(runtimeScope).floor.sequence).toBeGreaterThan(middle));
        const rest = await readAll(log);
        expect(rest.length).toBeLessThanOrEqual(8);
        expect(rest).toEqual(seen.slice(seen.length - rest.length));
        await log.close();
      },
    );

    test("a hold that comes late brings nothing back, and one that is taken back holds again", async () => {
      const log = await create().open({ retention: { workerEvents: 3 } });
      await log.append({ events: events("a", 5) });
      const { floor } = log.bounds(workers("a"));
      log.holdAfter(0);
      await log.append({ events: events("a", 5, 6) });
      expect(log.bounds(workers("a")).floor).toEqual(floor);
      expect(texts(await readAll(log))).toEqual(["a:3", "a:4", "a:5", "a:6", "a:7", "a:8", "a:9", "a:10"]);
      await log.close();
    });

    test("what a forgotten job held counts against its worker, but goes only when the hold moves", async () => {
      const log = await create().open({ retention: { workerEvents: 4 } });
      log.holdAfter(0);
      await log.append({ events: [...jobEvents("a", "j", 4), ...events("a", 4)] });
      await log.append({ events: [], forgetJobs: ["j"] });
      expect(log.job("j")).toBeUndefined();
      expect(await readAll(log)).toHaveLength(8);
      log.holdAfter(2);
      await eventually(() => expect(log.bounds(workers("a")).floor.workerOrdinal).toBe(2));
      log.holdAfter(Number.POSITIVE_INFINITY);
      await eventually(() => expect(log.bounds(workers("a")).floor.workerOrdinal).toBe(4));
      expect(texts(await readAll(log))).toEqual(["a:1", "a:2", "a:3", "a:4"]);
      await log.close();
    });

    test("others give what may go while the one that holds most is held", async () => {
      const log = await create().open({ retention: { events: 10 } });
      const { last } = await log.append({ events: events("early", 5) });
      log.holdAfter(last.sequence);
      await log.append({ events: events("late", 9) });
      expect(log.worker("early")?.retainedEvents).toBe(1);
      expect(log.worker("late")?.retainedEvents).toBe(9);
      await log.append({ events: events("late", 9, 10) });
      expect(log.worker("early")?.retainedEvents).toBe(0);
      expect(log.worker("late")?.retainedEvents).toBe(18);
      log.holdAfter(Number.POSITIVE_INFINITY);
      await eventually(() => expect(log.worker("late")?.retainedEvents).toBe(10));
      await log.close();
    });

    test("a durable log begins with the one in its state: what is beyond the limits when it opens waits", async () => {
      const tested = create();
      if (!tested.durable) return;
      const clock = new ManualClock();
      const retention = { workerEvents: 3, workerAgeMs: 60_000 };
      let log = await tested.open({ clock, retention });
      log.holdAfter(0);
      const { last } = await log.append({
        events: [...events("a", 5), ...jobEvents("a", "j", 5)],
        state: new Map([[holdKey, new TextEncoder().encode("0")]]),
      });
      await log.close();
      clock.advance(120_000);
      log = await tested.open({ clock, retention });
      expect(await readAll(log)).toHaveLength(10);
      log.holdAfter(last.sequence - 4);
      await eventually(() => expect(log.bounds(job("j")).floor.jobOrdinal).toBe(1));
      expect(await readAll(log)).toHaveLength(4);
      await log.append({ events: [], state: new Map([[holdKey, null]]) });
      await log.close();
      log = await tested.open({ clock, retention });
      expect(log.bounds(runtimeScope).floor.sequence).toBe(last.sequence);
      await log.close();
    });
  });
}
