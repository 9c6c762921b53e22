import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { event, events, type Implementation, readAll, runtimeScope, texts, workers } from "../harness.ts";

export function restartSuite({ create }: Implementation): void {
  describe("restart", () => {
    test("every log has an identity of its own", async () => {
      const [one, two] = await Promise.all([create().open(), create().open()]);
      expect(one.identity.runtimeId).not.toBe("");
      expect(one.identity.generation).not.toBe(two.identity.generation);
      await Promise.all([one.close(), two.close()]);
    });

    test("what a durable log held is there again, and what is not durable is a new generation", async () => {
      const tested = create();
      const clock = new ManualClock();
      const retention = { workerEvents: 4 };
      const first = await tested.open({ clock, retention });
      for (let i = 0; i < 5; i++) {
        await first.append({ events: [...events("a", 2, i * 2 + 1), event("b", `b${i}`)] });
        clock.advance(1000);
      }
      await first.append({ events: [], state: new Map([["key", Uint8Array.of(1, 2)]]) });
      const held = {
        identity: first.identity,
        events: await readAll(first),
        b: await readAll(first, { scope: workers("b") }),
        bounds: [runtimeScope, workers("a"), workers("b")].map((scope) => first.bounds(scope)),
        workers: [...first.workers()],
      };
      await first.close();

      const second = await tested.open({ clock, retention });
      if (!tested.durable) {
        expect(second.identity.generation).not.toBe(held.identity.generation);
        expect(second.bounds(runtimeScope).head.sequence).toBe(0);
      } else {
        expect({
          identity: second.identity,
          events: await readAll(second),
          b: await readAll(second, { scope: workers("b") }),
          bounds: [runtimeScope, workers("a"), workers("b")].map((scope) => second.bounds(scope)),
          workers: [...second.workers()],
        }).toEqual(held);
        expect(second.state("key")).toEqual(Uint8Array.of(1, 2));
        const head = held.bounds[0]?.head.sequence as number;
        const { firstSequence, last } = await second.append({ events: events("a", 1, 11) });
        // A clean end skips nothing.
        expect(firstSequence).toBe(head + 1);
        expect(last).toMatchObject({ ordinal: 16, workerOrdinal: 11 });
        expect(texts(await readAll(second, { scope: workers("a") }))).toEqual(["a:8", "a:9", "a:10", "a:11"]);
      }
      await second.close();
    });

    test("limits that became smaller hold from the start, and larger ones bring nothing back", async () => {
      const tested = create();
      const clock = new ManualClock();
      let log = await tested.open({ clock, retention: { workerEvents: 50 } });
      await log.append({ events: events("a", 60) });
      await log.close();
      if (!tested.durable) return;
      log = await tested.open({ clock, retention: { workerEvents: 7 } });
      expect(texts(await readAll(log))).toHaveLength(7);
      const { floor } = log.bounds(workers("a"));
      expect(floor.workerOrdinal).toBe(53);
      await log.close();
      log = await tested.open({ clock });
      expect(log.bounds(workers("a")).floor).toEqual(floor);
      clock.advance(8 * 24 * 60 * 60 * 1000);
      await log.close();
      log = await tested.open({ clock });
      expect(log.bounds(workers("a"))).toMatchObject({ floor: { workerOrdinal: 60 }, head: { workerOrdinal: 60 } });
      await log.close();
    });

    test("a wiped log has a new generation, the same runtime, and uses no sequence again", async () => {
      const tested = create();
      const first = await tested.open();
      const { last } = await first.append({ events: events("a", 3) });
      const { identity } = first;
      await first.close();
      if (tested.wipe === undefined) return;
      await tested.wipe();
      const second = await tested.open();
      expect(second.identity.runtimeId).toBe(identity.runtimeId);
      expect(second.identity.generation).not.toBe(identity.generation);
      expect(second.worker("a")).toBeUndefined();
      const { firstSequence } = await second.append({ events: events("a", 1) });
      expect(firstSequence).toBeGreaterThan(last.sequence);
      await second.close();
    });
  });
}
