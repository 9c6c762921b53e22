import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { EventKind } from "../../../gen/tailrace/v1/event_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { isTerminal } from "../../../src/runtime/jobs/machine.ts";
import { queueDepth, type Step, servers, World } from "./scheduled-servers.ts";
import { processTimeStandsStill } from "./servers.ts";
import { getJob } from "./support.ts";

const at = fc.nat({ max: servers - 1 });
/** Mostly one of the newest. */
const which = fc.oneof({ weight: 3, arbitrary: fc.nat({ max: 1 }) }, { weight: 1, arbitrary: fc.nat({ max: 20 }) });
const aStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("submit" as const), at, deferred: fc.boolean(), key: fc.nat({ max: 6 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constantFrom("start", "cancel", "race", "publish" as const), at, which }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom("narrate", "finish", "fail" as const), at, which }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(500, 3_000, 9_000, 15_000) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("turn" as const), rounds: fc.nat({ max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("pause", "resume" as const), at }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("mute", "deafen", "send" as const), at }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("disconnect" as const),
      at,
      arriving: fc.nat({ max: 4 }),
      isShort: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reconnect" as const), at }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lastWord" as const), at, which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("late" as const), which: fc.nat({ max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("crash", "close", "keep", "endWorker" as const), at }) },
);

test("no schedule of several servers gives a second end, an event after the end, a second run or a lost place", async () => {
  const seen = new Set<string>();
  processTimeStandsStill();
  await fc.assert(
    fc.asyncProperty(fc.array(aStep, { minLength: 30, maxLength: 90 }), async (steps) => {
      // Of servers of the run before.
      vi.clearAllTimers();
      const world = new World();
      for (const step of steps) {
        await world.take(step);
        // What it is about is on its way before the next one, which may lose it.
        await nextTurn();
      }
      const running = await world.finish();
      expect(world.unexpected).toEqual([]);
      for (const jobs of world.keys.values()) expect(jobs.size).toBe(1);
      const byJob = Map.groupBy(world.said, ({ jobId }) => jobId);
      for (const jobId of world.jobs) expect(byJob.has(jobId)).toBe(true);
      for (const [jobId, ofJob] of byJob) {
        const states = ofJob.flatMap(({ state }) => (state === undefined ? [] : [state]));
        const end = states.at(-1) as JobState;
        const ran = states.length === 3;
        expect(states).toEqual(ran ? [JobState.QUEUED, JobState.RUNNING, end] : [JobState.QUEUED, end]);
        expect(isTerminal(end)).toBe(true);
        // Nothing after the end, and its narration right before it.
        expect(ofJob.slice(-2).map(({ kind }) => kind)).toEqual([EventKind.NARRATION, EventKind.JOB_STATE_CHANGED]);
        for (const { runtime } of running) {
          const { state, reason } = getJob(runtime, jobId);
          expect(state).toBe(end);
          seen.add(`${ran ? "ran" : "never ran"}: ${reason}`);
        }
      }
      for (const prefix of ["job-ask/"]) expect([...world.witness.stateEntries(prefix)]).toEqual([]);
      expect([...world.witness.stateEntries("server/")]).toHaveLength(servers);
      // Every place is free again: so many fit, and no more.
      for (const { runtime } of running) {
        expect(runtime.jobsHeld).toMatchObject({ running: 0, tokens: 0 });
        await world.all.turn();
        const submitted = Array.from({ length: queueDepth + 1 }, () =>
          // Not by `rejects`: that keeps what it was given, and with it this world, until the test is over.
          runtime.submit("work", {}, { deferred: true }).then(
            () => "fits",
            ({ reason }: { reason?: string }) => reason,
          ),
        );
        await world.all.turn();
        expect(await Promise.all(submitted)).toEqual([...Array(queueDepth).fill("fits"), "limit_exceeded"]);
      }
    }),
    { numRuns: 150 },
  );
  // The schedules reach what they are to prove.
  for (const kind of [
    "ran: ",
    "ran: handler_failed",
    "ran: cancel_requested",
    "ran: runtime_lost",
    "ran: runtime_closed",
  ]) {
    expect([...seen]).toContain(kind);
  }
  expect([...seen]).toContain("never ran: cancel_requested");
});
