import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { until } from "../../support/until.ts";
import { expectExactExpiry } from "../expiry.ts";
import { event, events, type Implementation, readAll, runtimeScope, seenOf, texts, workers } from "../harness.ts";

export function retentionSuite({ create }: Implementation): void {
  describe("retention", () => {
    test("a chatty worker loses its oldest, a quiet one keeps all, and the floors say so", async () => {
      const log = await create().open({ retention: { workerEvents: 10 } });
      await log.append({ events: events("quiet", 3) });
      for (let i = 0; i < 7; i++) await log.append({ events: events("chatty", 5, i * 5 + 1) });
      expect(texts(await readAll(log, { scope: workers("quiet"), after: 0 }))).toEqual([
        "quiet:1",
        "quiet:2",
        "quiet:3",
      ]);
      expect(texts(await readAll(log, { scope: workers("chatty") }))).toEqual(
        Array.from({ length: 10 }, (_, i) => `chatty:${26 + i}`),
      );
      const { floor } = log.bounds(workers("chatty"));
      expect(floor).toMatchObject({ ordinal: 28, workerOrdinal: 25 });
      expect(log.bounds(workers("quiet")).floor.sequence).toBe(0);
      expect(log.bounds(runtimeScope).floor).toMatchObject({ sequence: floor.sequence, ordinal: 28, workerHash: 0 });
      expect(log.bounds(workers("quiet", "chatty")).floor.sequence).toBe(floor.sequence);
      for (const scope of [runtimeScope, workers("quiet"), workers("chatty"), workers("chatty", "quiet")]) {
        await expectExactExpiry(log, scope);
      }
      await log.close();
    });

    test("the whole-log limit takes from whoever holds most", async () => {
      const log = await create().open({ retention: { events: 20 } });
      await log.append({ events: events("quiet", 4) });
      await log.append({ events: events("middle", 7) });
      for (let i = 0; i < 10; i++) await log.append({ events: events("chatty", 4, i * 4 + 1) });
      expect(log.worker("quiet")?.retainedEvents).toBe(4);
      expect(log.worker("middle")?.retainedEvents).toBe(7);
      expect(log.worker("chatty")).toMatchObject({ retainedEvents: 9, lastOrdinal: 40 });
      await expectExactExpiry(log, workers("middle"));
      await log.close();
    });

    test("bytes bound a worker and the whole log", async () => {
      const log = await create().open({ retention: { workerBytes: 4000, bytes: 6000 } });
      for (let i = 0; i < 100; i++) await log.append({ events: [...events("a", 2, i), ...events("b", 1, i)] });
      const [a, b] = [log.worker("a"), log.worker("b")];
      expect(a?.retainedBytes).toBeLessThanOrEqual(4000);
      expect((a?.retainedBytes ?? 0) + (b?.retainedBytes ?? 0)).toBeLessThanOrEqual(6000);
      expect((a?.retainedBytes ?? 0) + (b?.retainedBytes ?? 0)).toBeGreaterThan(5800);
      const stored = (await readAll(log, { scope: workers("a") })).length;
      expect(stored).toBe(a?.retainedEvents);
      await log.close();
    });

    test("age removes on time, also when nothing is published, and an empty log still has its floor and head", async () => {
      const clock = new ManualClock();
      const log = await create().open({ clock, retention: { workerAgeMs: 60_000 } });
      await log.append({ events: [event("a", "1"), event("b", "2")] });
      clock.advance(30_000);
      const { last } = await log.append({ events: [event("a", "3")] });
      clock.advance(29_000);
      await log.append({ events: [] });
      expect(texts(await readAll(log))).toEqual(["1", "2", "3"]);
      clock.advance(3_000);
      // By what the clock set off, without anything being published.
      await until(() => log.worker("b")?.retainedEvents === 0, "the old events to go");
      expect(texts(await readAll(log))).toEqual(["3"]);
      clock.advance(40_000);
      await until(() => log.worker("a")?.retainedEvents === 0, "the last event to go");
      for (const scope of [runtimeScope, workers("a"), workers("b")]) {
        expect(await readAll(log, { scope })).toEqual([]);
        await expectExactExpiry(log, scope);
      }
      expect(log.bounds(runtimeScope)).toMatchObject({ floor: { sequence: last.sequence, ordinal: 3 } });
      expect(log.bounds(workers("a"))).toEqual({ floor: last, head: last });
      expect(log.bounds(workers("b")).floor).toMatchObject({ workerOrdinal: 1, ordinal: 2 });
      expect(log.worker("b")).toMatchObject({ lastOrdinal: 1, retainedEvents: 0, retainedBytes: 0 });
      await log.close();
    });

    test("a batch beyond the limit is committed and told whole, then trimmed", async () => {
      const log = await create().open({ retention: { workerEvents: 3 } });
      const told: string[] = [];
      log.subscribe((block) => told.push(...texts(seenOf(block))));
      const { last } = await log.append({ events: events("a", 10) });
      expect(told).toHaveLength(10);
      expect(texts(await readAll(log))).toEqual(["a:8", "a:9", "a:10"]);
      expect(log.bounds(workers("a")).head).toEqual(last);
      await log.close();
    });

    test("nothing may be retained at all", async () => {
      const log = await create().open({ retention: { events: 0 } });
      const { last } = await log.append({ events: events("a", 3) });
      expect(log.bounds(workers("a"))).toEqual({ floor: last, head: last });
      await expectExactExpiry(log, workers("a"));
      await log.close();
    });

    test("what quiet workers left below the floor of the runtime stays readable after much else is gone", async () => {
      const log = await create().open({ retention: { workerEvents: 500, workerBytes: 1e9 } });
      for (let round = 0; round < 60; round++) {
        await log.append({ events: [event(`quiet${round % 10}`, `q${round}`), ...events("chatty", 800, round * 800)] });
      }
      for (let worker = 0; worker < 10; worker++) {
        const expected = Array.from({ length: 6 }, (_, i) => `q${worker + i * 10}`);
        expect(texts(await readAll(log, { scope: workers(`quiet${worker}`), after: 0 }))).toEqual(expected);
      }
      const several = workers("quiet3", "quiet7", "quiet8");
      expect(texts(await readAll(log, { scope: several, after: 0, maxEvents: 4 }))).toEqual(
        Array.from({ length: 6 }, (_, i) => [3, 7, 8].map((worker) => `q${worker + i * 10}`)).flat(),
      );
      expect(await readAll(log, { scope: workers("chatty") })).toHaveLength(500);
      await log.close();
    });

    test("limits that make no sense are refused by name", async () => {
      const open = create().open({ retention: { workerEvents: -1 } });
      await expect(open).rejects.toMatchObject({
        reason: "invalid_request",
        details: { field: "retention.workerEvents" },
      });
      const misspelt = { workerEvent: 1 } as Record<string, number>;
      await expect(create().open({ retention: misspelt })).rejects.toMatchObject({
        details: { field: "retention.workerEvent" },
      });
    });
  });
}
