import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { hashId } from "../../../src/events/cursor.ts";
import type { PendingEvent, Seek } from "../../../src/log/contract.ts";
import { setLimit } from "../../conformance/set-limit.ts";
import {
  event,
  events,
  type Implementation,
  job,
  jobEvents,
  readAll,
  runtimeScope,
  texts,
  workers,
} from "../harness.ts";
import { viewOf } from "../view.ts";

const everything = { kinds: undefined, until: Number.MAX_SAFE_INTEGER, maxEvents: 1000, maxBytes: 1024 * 1024 };

export function jobsSuite({ create }: Implementation): void {
  describe("jobs", () => {
    test("a job has what follows every position in it, for every page size, in ordinals without holes", async () => {
      const log = await create().open();
      const names = ["a", "b", ""];
      const jobs = ["j", "k", "", ""];
      for (let i = 0; i < 40; i++) {
        const three = [0, 1, 2].map((n) =>
          event(names[(i + n) % 3] as string, `${i}.${n}`, 40 + (i % 2), jobs[(i * 3 + n) % 4]),
        );
        await log.append({ events: three });
      }
      const all = await readAll(log);
      expect(all).toHaveLength(120);
      for (const jobId of ["j", "k", "nobody"]) {
        const own = all.filter((one) => one.jobId === jobId);
        expect(own.map((one) => one.jobOrdinal)).toEqual(own.map((_, i) => i + 1));
        for (const maxEvents of [1, 7, 1000]) {
          for (let after = 0; after <= 120; after += maxEvents === 1 ? 30 : 1) {
            const expected = own.filter((one) => one.sequence > after);
            expect(await readAll(log, { scope: job(jobId), after, maxEvents })).toEqual(expected);
          }
        }
        const odd = own.filter((one) => one.kind === 41);
        expect(await readAll(log, { scope: job(jobId), kinds: new Set([41]), maxEvents: 3 })).toEqual(odd);
      }
      expect(all.filter((one) => one.jobId === "").every((one) => one.jobOrdinal === 0)).toBe(true);
      await log.close();
    });

    test("positions count in the job", async () => {
      const log = await create().open();
      const { last } = await log.append({ events: [...jobEvents("a", "j", 3), ...events("a", 2)] });
      expect(last).toMatchObject({ workerHash: hashId("a"), workerOrdinal: 5, jobHash: 0, jobOrdinal: 0 });
      const second = await log.append({ events: jobEvents("b", "j", 2, 4) });
      expect(second.last).toMatchObject({ workerOrdinal: 2, jobHash: hashId("j"), jobOrdinal: 5 });
      expect(log.bounds(job("j"))).toMatchObject({
        floor: { sequence: 0, jobHash: hashId("j"), jobOrdinal: 0 },
        head: { ...second.last, workerHash: 0, workerOrdinal: 0 },
      });
      const page = await log.read({ ...everything, scope: job("j"), after: 0, until: last.sequence });
      expect(page.kind === "page" && page.through).toMatchObject({ ordinal: 5, workerHash: 0, jobOrdinal: 3 });
      const from = async (seek: Seek) => {
        const position = await log.seek(job("j"), seek);
        const seen = texts(await readAll(log, { scope: job("j"), after: position.sequence }));
        expect(position.jobOrdinal).toBe(5 - seen.length);
        return seen;
      };
      expect(await from({ kind: "earliest" })).toHaveLength(5);
      expect(await from({ kind: "latest" })).toEqual([]);
      expect(await from({ kind: "last", count: 3, kinds: undefined })).toEqual(["j:3", "j:4", "j:5"]);
      expect(await from({ kind: "time", timeMs: 0 })).toHaveLength(5);
      expect(await from({ kind: "time", timeMs: Number.MAX_SAFE_INTEGER })).toEqual([]);
      await log.close();
    });

    test("is known from its first event, with what it holds", async () => {
      const clock = new ManualClock(1_700_000_000_000);
      const log = await create().open({ clock });
      const pending = log.append({ events: jobEvents("a", "j", 2) });
      expect(log.job("j")).toBeUndefined();
      await pending;
      clock.advance(1000);
      await log.append({ events: [...jobEvents("", "j", 1, 3), ...jobEvents("a", "k", 1)] });
      expect(log.job("j")).toMatchObject({
        jobId: "j",
        lastOrdinal: 3,
        createTimeMs: 1_700_000_000_000,
        lastTimeMs: 1_700_000_001_000,
        retainedEvents: 3,
      });
      expect([...log.jobs()].map((one) => one.jobId).sort()).toEqual(["j", "k"]);
      expect(log.job("nobody")).toBeUndefined();
      expect(log.bounds(job("nobody"))).toMatchObject({ floor: { sequence: 0 }, head: { ordinal: 4, jobOrdinal: 0 } });
      await log.close();
    });

    test("an id that comes again after it was forgotten is another job, also within one commit", async () => {
      const log = await create().open();
      const results = await Promise.all([
        log.append({ events: jobEvents("a", "j", 2) }),
        log.append({ events: jobEvents("a", "j", 1, 3), forgetJobs: ["j"] }),
        log.append({ events: jobEvents("a", "j", 2, 4) }),
        log.append({ events: [...jobEvents("a", "k", 1), ...jobEvents("a", "j", 1, 6)] }),
        log.append({ events: [], forgetJobs: ["k"] }),
      ]);
      expect(results.map(({ last }) => last.jobOrdinal)).toEqual([2, 3, 2, 3, 0]);
      expect(log.job("j")).toMatchObject({ lastOrdinal: 3, retainedEvents: 3 });
      expect(log.job("k")).toBeUndefined();
      expect(texts(await readAll(log, { scope: job("j"), after: 0 }))).toEqual(["j:4", "j:5", "j:6"]);
      const seen = await readAll(log, { scope: workers("a") });
      expect(seen.map((one) => `${one.jobId}${one.jobOrdinal}`)).toEqual(["j1", "j2", "j3", "j1", "j2", "k1", "j3"]);
      await log.append({ events: [], forgetJobs: ["j"] });
      expect(log.job("j")).toBeUndefined();
      await log.close();
    });

    test("a worker that something retained names is not forgotten, though its own scope is empty", async () => {
      const tested = create();
      const retention = { workerEvents: 5 };
      let log = await tested.open({ retention });
      await log.append({ events: [...jobEvents("a", "j", 3), ...jobEvents("a", "k", 6)] });
      await log.append({ events: [], forgetJobs: ["k"] });
      await log.append({ events: jobEvents("a", "l", 20) });
      await log.append({ events: jobEvents("b", "l", 5, 21) });
      expect(log.worker("a")).toMatchObject({ retainedEvents: 0 });
      for (let life = 0; life < 2; life++) {
        await log.append({ events: [], forgetWorkers: ["a"] });
        expect(log.worker("a")).toBeDefined();
        const seen = await readAll(log, { scope: job("j"), after: 0 });
        expect(seen.map((one) => one.workerId)).toEqual(["a", "a", "a"]);
        if (!tested.durable) break;
        await log.close();
        log = await tested.open({ retention });
      }
      // Two of the three go with what comes in, and the last one with the job.
      await log.append({ events: jobEvents("b", "j", 4, 4) });
      expect(log.job("j")).toMatchObject({ retainedEvents: 5 });
      await log.append({ events: [], forgetJobs: ["j"], forgetWorkers: ["a"] });
      expect(log.worker("a")).toBeDefined();
      await log.append({ events: [], forgetWorkers: ["a"] });
      expect(log.worker("a")).toBeUndefined();
      await log.close();
    });

    test("numbers of jobs name them as long as something retained does, and nothing after", async () => {
      const log = await create().open({ retention: { workerEvents: 2 } });
      const numbers: number[] = [];
      log.subscribe((block) => numbers.push(...block.jobs.subarray(0, block.length)));
      await log.append({ events: [...events("a", 1), ...jobEvents("a", "j", 1), ...jobEvents("a", "k", 1)] });
      const [none, j, k] = numbers as [number, number, number];
      expect(none).toBe(0);
      const named = () => [j, k].map((number) => log.jobSubjects.idOf(number));
      expect(named()).toEqual(["j", "k"]);
      expect(log.jobSubjects.hashOf(j)).toBe(hashId("j"));
      // j is forgotten, but its event is still there.
      await log.append({ events: [], forgetJobs: ["j"] });
      expect(named()).toEqual(["j", "k"]);
      await log.append({ events: events("a", 2, 2) });
      expect(named()).toEqual(["", "k"]);
      expect(log.jobSubjects.hashOf(j)).toBe(0);
      // k is remembered with nothing retained, and then it is not.
      await log.append({ events: jobEvents("a", "k", 5, 2) });
      expect(named()).toEqual(["", "k"]);
      await log.append({ events: events("a", 5, 4), forgetJobs: ["k"] });
      expect(named()).toEqual(["", ""]);
      expect(log.jobSubjects.idOf(0)).toBe("");
      await log.close();
    });

    test("a job with a long id is refused by name", async () => {
      const log = await create().open();
      const long: PendingEvent = { ...event("a", "x"), jobId: "ü".repeat(129) };
      await expect(log.append({ events: [event("a", "x"), long] })).rejects.toMatchObject({
        reason: "invalid_request",
        details: { field: "events[1].job_id" },
      });
      await log.close();
    });

    test("refuses a job more than it may know, until one is forgotten", async () => {
      setLimit("maxLogJobs", 2);
      const log = await create().open();
      await log.append({ events: [...jobEvents("a", "j", 1), ...jobEvents("a", "k", 1)] });
      const refusal = { reason: "limit_exceeded", details: { limit: "maxLogJobs", maximum: 2 } };
      await expect(log.append({ events: jobEvents("a", "l", 1) })).rejects.toMatchObject(refusal);
      await log.append({ events: jobEvents("a", "k", 1, 2), forgetJobs: ["j"] });
      await log.append({ events: jobEvents("a", "l", 1) });
      expect([...log.jobs()].map((one) => one.jobId).sort()).toEqual(["k", "l"]);
      await log.close();
    });

    test("a durable log has its jobs again exactly as they were", async () => {
      const tested = create();
      if (!tested.durable) return;
      const clock = new ManualClock();
      const retention = { workerEvents: 6 };
      const short = Array.from({ length: 6 }, (_, i) => job(`short${i}`));
      const scopes = [runtimeScope, workers("a"), workers("b"), workers("a", "b"), job("j"), job("k"), ...short];
      let log = await tested.open({ clock, retention });
      for (let i = 0; i < 6; i++) {
        await log.append({
          events: [
            ...events("a", 1, i),
            ...jobEvents("a", "j", 3, i * 3),
            ...jobEvents(i % 2 === 0 ? "b" : "", "k", 1, i),
            ...jobEvents("b", `short${i}`, 1),
          ],
          forgetJobs: i < 4 ? [`short${i}`] : [],
        });
        clock.advance(1000);
      }
      const held = await viewOf(log, scopes);
      expect(held.jobs.map((one) => one?.jobId).sort()).toEqual(["j", "k", "short4", "short5"]);
      await log.close();
      for (let life = 0; life < 3; life++) {
        log = await tested.open({ clock, retention });
        expect(await viewOf(log, scopes)).toEqual(held);
        await log.close();
      }
      log = await tested.open({ clock, retention });
      const { last } = await log.append({ events: [...jobEvents("b", "short1", 1), ...jobEvents("a", "j", 1, 18)] });
      expect(last.jobOrdinal).toBe(19);
      expect(log.job("short1")).toMatchObject({ lastOrdinal: 1, retainedEvents: 1 });
      await log.append({ events: [], forgetJobs: ["short4", "j"] });
      const after = await viewOf(log, scopes);
      await log.close();
      log = await tested.open({ clock, retention });
      expect(await viewOf(log, scopes)).toEqual(after);
      await log.close();
    });
  });
}
