import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock, type StopTimer } from "../../../src/base/clock.ts";
import { until } from "../../support/until.ts";
import {
  cancelJob,
  controlledHandler,
  ended,
  eventsOfJob,
  getJob,
  jobRuntime,
  said,
  settled,
  startJob,
} from "./support.ts";

test("a queued job that is cancelled never runs", async () => {
  const { runtime } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", { concurrency: 1 }, handler);
  const first = await runtime.submit("work");
  const second = await runtime.submit("work");
  const deferred = await runtime.submit("work", {}, { deferred: true });
  expect(getJob(runtime, second.jobId).queuePosition).toBe(1);
  const { job } = await cancelJob(runtime, second.jobId, "not wanted");
  expect(job).toMatchObject({ state: JobState.CANCELLED, reason: "cancel_requested", message: "not wanted" });
  await cancelJob(runtime, deferred.jobId);
  await startJob(runtime, deferred.jobId);
  await until(() => calls.length === 1, "the first handler");
  calls[0]?.finish();
  await ended(runtime, first.jobId);
  await settled();
  expect(calls).toHaveLength(1);
  expect(said(await eventsOfJob(runtime, second.jobId))).toEqual(["queued", "execute_cancelled", "cancelled"]);
  expect(said(await eventsOfJob(runtime, deferred.jobId))).toEqual(["queued", "execute_cancelled", "cancelled"]);
});

test("a job that is cancelled while its start is being committed does not call its handler", async () => {
  const { runtime } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const { jobId } = await runtime.submit("work");
  // The start is on its way: nothing has had a turn since the submit was answered.
  await cancelJob(runtime, jobId);
  expect(await ended(runtime, jobId)).toMatchObject({ state: JobState.CANCELLED });
  expect(calls).toHaveLength(0);
});

test("a cancelled job is cancelled, whatever its handler does then, and a second cancel changes nothing", async () => {
  const { runtime, faults } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const jobs = await Promise.all([1, 2, 3].map(() => runtime.submit("work")));
  await until(() => calls.length === 3, "the handlers");
  for (const { jobId } of jobs) {
    const { job } = await cancelJob(runtime, jobId, "enough");
    expect(job).toMatchObject({ state: JobState.RUNNING, cancelRequested: true });
    await cancelJob(runtime, jobId, "really");
  }
  expect(calls.map(({ job }) => [job.signal.aborted, job.signal.reason.name])).toEqual(
    calls.map(() => [true, "AbortError"]),
  );
  calls[0]?.finish();
  calls[1]?.fail(calls[1].job.signal.reason);
  calls[2]?.fail(new Error("while it tidied up"));
  for (const { jobId } of jobs) {
    expect(await ended(runtime, jobId)).toMatchObject({ state: JobState.CANCELLED, message: "enough" });
    await cancelJob(runtime, jobId);
    expect(said(await eventsOfJob(runtime, jobId)).slice(-2)).toEqual(["execute_cancelled", "cancelled"]);
  }
  // Only the one that failed for a reason of its own.
  expect(faults).toHaveLength(1);
});

test("a handler that never settles after its abort is let go, and what it does later is contained", async () => {
  const { runtime, clock, faults } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("stubborn", { cancelGraceMs: 5_000, concurrency: 1 }, handler);
  const { jobId } = await runtime.submit("stubborn");
  const next = await runtime.submit("stubborn");
  await until(() => calls.length === 1, "the handler");
  await cancelJob(runtime, jobId);
  clock.advance(4_999);
  await settled();
  expect(getJob(runtime, jobId).state).toBe(JobState.RUNNING);
  clock.advance(1);
  expect(await ended(runtime, jobId)).toMatchObject({ state: JobState.CANCELLED });
  expect(faults).toHaveLength(1);
  await expect(calls[0]?.job.narrate("late", "still here")).rejects.toMatchObject({ reason: "job_ended" });
  calls[0]?.fail(new Error("late"));
  await until(() => faults.length === 3, "the reports");
  // Its place was given to the next one.
  await until(() => calls.length === 2, "the next handler");
  calls[1]?.finish();
  expect(await ended(runtime, next.jobId)).toMatchObject({ state: JobState.SUCCEEDED });
  expect(said(await eventsOfJob(runtime, jobId)).at(-1)).toBe("cancelled");
});

test("the three timeouts end a job, and the stricter bound holds", async () => {
  const { runtime, clock } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", { concurrency: 2, timeouts: { totalMs: 60_000, queueMs: 30_000 } }, handler);
  const total = await runtime.submit("work", {}, { timeouts: { totalMs: 90_000 } });
  const idle = await runtime.submit("work", {}, { timeouts: { idleMs: 20_000 } });
  const queue = await runtime.submit("work");
  await until(() => calls.length === 2, "the handlers");
  for (let i = 0; i < 3; i++) {
    clock.advance(9_000);
    await calls[1]?.job.log.info("still at it");
    await settled();
  }
  expect(getJob(runtime, queue.jobId).state).toBe(JobState.QUEUED);
  clock.advance(3_000);
  expect(await ended(runtime, queue.jobId)).toMatchObject({ state: JobState.TIMED_OUT, reason: "queue_timeout" });
  expect(said(await eventsOfJob(runtime, queue.jobId))).toEqual(["queued", "execute_timeout", "timed_out"]);
  clock.advance(16_999);
  await settled();
  expect(calls[1]?.job.signal.aborted).toBe(false);
  clock.advance(1);
  expect(calls[1]?.job.signal.reason.name).toBe("TimeoutError");
  calls[1]?.finish();
  expect(await ended(runtime, idle.jobId)).toMatchObject({ state: JobState.TIMED_OUT, reason: "idle_timeout" });
  clock.advance(12_999);
  expect(calls[0]?.job.signal.aborted).toBe(false);
  clock.advance(1);
  calls[0]?.finish();
  expect(await ended(runtime, total.jobId)).toMatchObject({ state: JobState.TIMED_OUT, reason: "total_timeout" });
  expect(said(await eventsOfJob(runtime, total.jobId)).slice(-2)).toEqual(["execute_timeout", "timed_out"]);
  // Nothing waits for jobs that have ended, but to forget them.
  const { pending } = clock;
  await runtime.close();
  expect(clock.pending).toBeLessThan(pending);
  expect(calls).toHaveLength(2);
});

test("a job without bounds may be silent for as long as it likes", async () => {
  const { runtime, clock } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("quiet", {}, handler);
  const { jobId } = await runtime.submit("quiet");
  await until(() => calls.length === 1, "the handler");
  clock.advance(90 * 24 * 60 * 60 * 1000);
  await settled();
  expect(getJob(runtime, jobId).state).toBe(JobState.RUNNING);
  calls[0]?.finish();
  expect(await ended(runtime, jobId)).toMatchObject({ state: JobState.SUCCEEDED });
});

test("a bound longer than the platform's timers holds", async () => {
  // As the platform's: what can't be waited for is not waited for at all.
  class PlatformClock extends ManualClock {
    override after(ms: number, callback: () => void): StopTimer {
      return super.after(ms > 0x7fff_ffff ? 1 : ms, callback);
    }
  }
  const { runtime, clock } = jobRuntime({ clock: new PlatformClock() });
  const { calls, handler } = controlledHandler();
  const days = 24 * 60 * 60 * 1000;
  runtime.operation("long", { timeouts: { totalMs: 60 * days } }, handler);
  const { jobId } = await runtime.submit("long");
  await until(() => calls.length === 1, "the handler");
  clock.advance(60 * days - 1);
  await settled();
  expect(calls[0]?.job.signal.aborted).toBe(false);
  clock.advance(1);
  calls[0]?.finish();
  expect(await ended(runtime, jobId)).toMatchObject({ reason: "total_timeout" });
});
