import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { hashId } from "../../../src/events/cursor.ts";
import { expectExactExpiry } from "../expiry.ts";
import { events, type Implementation, job, jobEvents, readAll, runtimeScope, texts, workers } from "../harness.ts";

export function jobRetentionSuite({ create }: Implementation): void {
  describe("what is retained of jobs", () => {
    test("what counts against a job costs its worker nothing, and the other way round", async () => {
      const log = await create().open({ retention: { workerEvents: 10 } });
      await log.append({ events: events("a", 3) });
      await log.append({ events: jobEvents("a", "j", 10) });
      await log.append({ events: events("a", 7, 4) });
      // Worker and job hold ten each.
      expect(await readAll(log, { scope: workers("a"), after: 0 })).toHaveLength(20);
      await log.append({ events: events("a", 2, 11) });
      expect(log.bounds(workers("a")).floor.workerOrdinal).toBe(2);
      expect(log.bounds(job("j")).floor.sequence).toBe(0);
      expect(await readAll(log, { scope: workers("a") })).toHaveLength(20);
      // A job that began before what the worker gives leaves its scope with it, and keeps its own.
      await log.append({ events: events("a", 2, 13) });
      expect(log.bounds(workers("a")).floor.workerOrdinal).toBe(14);
      expect(await readAll(log, { scope: workers("a") })).toHaveLength(10);
      expect(await readAll(log, { scope: job("j"), after: 0 })).toHaveLength(10);
      for (const scope of [runtimeScope, workers("a"), job("j")]) await expectExactExpiry(log, scope);
      await log.close();
    });

    test("what is trimmed of a job raises the floors of job, worker and runtime, and of no other job", async () => {
      const log = await create().open({ retention: { workerEvents: 10 } });
      await log.append({ events: [...events("a", 5), ...jobEvents("a", "j", 4), ...jobEvents("a", "k", 25)] });
      const { floor } = log.bounds(job("k"));
      expect(floor).toMatchObject({ ordinal: 24, jobHash: hashId("k"), jobOrdinal: 15 });
      expect(log.bounds(workers("a")).floor).toMatchObject({
        sequence: floor.sequence,
        ordinal: 24,
        workerOrdinal: 24,
      });
      expect(log.bounds(runtimeScope).floor).toMatchObject({ sequence: floor.sequence, ordinal: 24, jobHash: 0 });
      expect(log.bounds(job("j")).floor.sequence).toBe(0);
      expect(texts(await readAll(log, { scope: job("j"), after: 0 }))).toEqual(["j:1", "j:2", "j:3", "j:4"]);
      expect(texts(await readAll(log, { scope: workers("a") }))[0]).toBe("k:16");
      expect(log.job("j")).toMatchObject({ retainedEvents: 4 });
      expect(log.worker("a")).toMatchObject({ retainedEvents: 10, lastOrdinal: 34 });
      for (const scope of [runtimeScope, workers("a"), job("j"), job("k")]) await expectExactExpiry(log, scope);
      await log.close();
    });

    test("the whole-log limit takes from the job or worker that holds most", async () => {
      const log = await create().open({ retention: { events: 30 } });
      await log.append({ events: [...events("a", 8), ...jobEvents("b", "quiet", 6)] });
      for (let i = 0; i < 10; i++) await log.append({ events: jobEvents("b", "chatty", 4, i * 4 + 1) });
      expect(log.worker("a")?.retainedEvents).toBe(8);
      expect(log.job("quiet")?.retainedEvents).toBe(6);
      expect(log.job("chatty")).toMatchObject({ retainedEvents: 16, lastOrdinal: 40 });
      expect(await readAll(log, { scope: job("quiet"), after: 0 })).toHaveLength(6);
      await log.close();
    });

    test("age takes what jobs hold, and an empty job still has its floor and head", async () => {
      const clock = new ManualClock();
      const log = await create().open({ clock, retention: { workerAgeMs: 60_000 } });
      const { last } = await log.append({ events: jobEvents("a", "j", 3) });
      clock.advance(61_000);
      await log.append({ events: [] });
      const position = { ...last, workerHash: 0, workerOrdinal: 0 };
      expect(log.bounds(job("j"))).toEqual({ floor: position, head: position });
      expect(log.job("j")).toMatchObject({ lastOrdinal: 3, retainedEvents: 0, retainedBytes: 0 });
      await expectExactExpiry(log, job("j"));
      await log.close();
    });

    test("what a forgotten job held is its worker's, within the worker's limits", async () => {
      const log = await create().open({ retention: { workerEvents: 10 } });
      for (let i = 0; i < 9; i++) await log.append({ events: [...events("a", 1, i), ...jobEvents("a", "j", 1, i)] });
      expect(log.worker("a")?.retainedEvents).toBe(18);
      await log.append({ events: jobEvents("a", "j", 1, 9), forgetJobs: ["j", "nobody"] });
      expect(log.job("j")).toBeUndefined();
      expect([...log.jobs()]).toEqual([]);
      expect(log.bounds(job("j"))).toMatchObject({ floor: { sequence: 0 }, head: { jobOrdinal: 0 } });
      expect(await readAll(log, { scope: job("j"), after: 0 })).toEqual([]);
      const seen = await readAll(log, { scope: workers("a") });
      expect(seen.map((one) => one.workerOrdinal)).toEqual(Array.from({ length: 10 }, (_, i) => 10 + i));
      // They say which job they were of, as long as they are there.
      expect(seen.map((one) => one.jobId)).toEqual(
        Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? "j" : "")).map((id, i) => (i === 9 ? "j" : id)),
      );
      expect(seen.at(-1)).toMatchObject({ jobId: "j", jobOrdinal: 10 });
      await log.close();
    });

    test("what a forgotten job held below its worker's floor is gone and counts no more", async () => {
      const log = await create().open({ retention: { workerEvents: 10, events: 30 } });
      await log.append({ events: [...jobEvents("a", "j", 10), ...jobEvents("a", "k", 25)] });
      expect(log.job("j")?.retainedEvents).toBe(10);
      await log.append({ events: [], forgetJobs: ["j"] });
      // Ten of k are left; with those of j there would be too many.
      await log.append({ events: [...events("q", 10), ...events("r", 10)] });
      expect(log.job("k")?.retainedEvents).toBe(10);
      expect(log.worker("q")?.retainedEvents).toBe(10);
      expect(log.worker("r")?.retainedEvents).toBe(10);
      await log.close();
    });
  });
}
