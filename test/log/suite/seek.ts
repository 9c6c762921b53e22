import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import type { EventLog, Scope, Seek } from "../../../src/log/contract.ts";
import { event, events, type Implementation, readAll, runtimeScope, texts, workers } from "../harness.ts";

/** The texts of what a watch that begins at `seek` gets. */
async function from(log: EventLog, scope: Scope, seek: Seek): Promise<string[]> {
  const position = await log.seek(scope, seek);
  const { floor, head } = log.bounds(scope);
  expect(position.sequence).toBeGreaterThanOrEqual(floor.sequence);
  expect(position.sequence).toBeLessThanOrEqual(head.sequence);
  expect(position.workerHash).toBe(head.workerHash);
  const found = await readAll(log, { scope, after: position.sequence });
  expect(position.workerOrdinal).toBe(head.workerHash === 0 ? 0 : head.workerOrdinal - found.length);
  return texts(found);
}

export function seekSuite({ create }: Implementation): void {
  describe("seek", () => {
    test("earliest is the floor and latest the head of the scope", async () => {
      const log = await create().open({ retention: { workerEvents: 2 } });
      await log.append({ events: [...events("quiet", 2), ...events("chatty", 5)] });
      expect(await log.seek(workers("quiet"), { kind: "earliest" })).toEqual(log.bounds(workers("quiet")).floor);
      expect(await from(log, workers("quiet"), { kind: "earliest" })).toEqual(["quiet:1", "quiet:2"]);
      expect(await from(log, runtimeScope, { kind: "earliest" })).toEqual(["chatty:4", "chatty:5"]);
      expect(await from(log, workers("chatty"), { kind: "latest" })).toEqual([]);
      expect(await log.seek(workers("quiet"), { kind: "latest" })).toEqual(log.bounds(workers("quiet")).head);
      await log.close();
    });

    test("last counts events of the scope and kinds", async () => {
      const log = await create().open();
      for (let i = 1; i <= 6; i++)
        await log.append({ events: [event("a", `a${i}`, 40 + (i % 2)), event("b", `b${i}`)] });
      const last = (count: number, kinds?: number[]): Seek => ({
        kind: "last",
        count,
        kinds: kinds === undefined ? undefined : new Set(kinds),
      });
      expect(await from(log, runtimeScope, last(3))).toEqual(["b5", "a6", "b6"]);
      expect(await from(log, workers("a"), last(2))).toEqual(["a5", "a6"]);
      expect(await from(log, workers("a", "b"), last(1))).toEqual(["b6"]);
      expect(await from(log, workers("a"), last(2, [41]))).toEqual(["a3", "a4", "a5", "a6"]);
      expect(await from(log, workers("a"), last(100))).toHaveLength(6);
      expect(await from(log, workers("a"), last(0))).toEqual([]);
      expect(await from(log, workers("nobody"), last(3))).toEqual([]);
      await log.close();
    });

    test("a time begins before the first event accepted then or later, never below the floor", async () => {
      const clock = new ManualClock(1_000_000);
      const log = await create().open({ clock, retention: { workerEvents: 4 } });
      for (let i = 1; i <= 6; i++) {
        await log.append({ events: [event("a", `a${i}`)] });
        clock.advance(1000);
      }
      const at = (timeMs: number): Seek => ({ kind: "time", timeMs });
      expect(await from(log, workers("a"), at(0))).toEqual(["a3", "a4", "a5", "a6"]);
      expect(await from(log, workers("a"), at(1_003_000))).toEqual(["a4", "a5", "a6"]);
      expect(await from(log, runtimeScope, at(1_003_001))).toEqual(["a5", "a6"]);
      expect(await from(log, runtimeScope, at(1_005_001))).toEqual([]);
      expect(await from(log, runtimeScope, at(9_999_999))).toEqual([]);
      await log.close();
    });
  });
}
