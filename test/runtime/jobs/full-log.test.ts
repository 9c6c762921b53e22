import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import { type Reason, TailraceError } from "../../../src/base/errors.ts";
import type { EventLog } from "../../../src/log/contract.ts";
import { MemoryLog } from "../../../src/log/memory/index.ts";
import { until } from "../../support/until.ts";
import { cancelJob, controlledHandler, ended, eventsOfJob, getJob, jobRuntime, said, settled } from "./support.ts";

/** A log that refuses appends while it is told to. */
function refusingLog() {
  const clock = new ManualClock();
  const log = new MemoryLog({ runtimeId: "test", clock });
  let refusal: TailraceError | undefined;
  const seen = new Proxy<EventLog>(log, {
    get(target, name) {
      if (name === "append" && refusal !== undefined) return () => Promise.reject(refusal);
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const refuse = (reason: Reason | undefined) => {
    const details = reason === "limit_exceeded" ? { limit: "room", maximum: 1, retryAfterMs: 100 } : { sinceMs: 0 };
    refusal = reason === undefined ? undefined : new TailraceError(reason, details as never, "refused by the test");
  };
  return { clock, log: seen, refuse };
}

test("the end of a job is said once the log has room, and nothing of the job comes before it meanwhile", async () => {
  const { clock, log, refuse } = refusingLog();
  const { runtime, faults } = jobRuntime({ clock, log });
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const { jobId } = await runtime.submit("work");
  await until(() => calls.length === 1, "the handler");
  refuse("limit_exceeded");
  await expect(calls[0]?.job.narrate("a", "b")).rejects.toMatchObject({ reason: "limit_exceeded" });
  calls[0]?.finish();
  await settled();
  expect(getJob(runtime, jobId).state).toBe(JobState.RUNNING);
  refuse(undefined);
  await expect(calls[0]?.job.narrate("a", "b")).rejects.toMatchObject({ reason: "job_ended" });
  clock.advance(100);
  await ended(runtime, jobId);
  expect(said(await eventsOfJob(runtime, jobId))).toEqual([
    "queued",
    "running",
    "execute",
    "execute_complete",
    "succeeded",
  ]);
  // Only the first narration that was refused.
  expect(faults).toHaveLength(1);
});

test("a job whose start finds no room starts later, or not at all if it is cancelled until then", async () => {
  const { clock, log, refuse } = refusingLog();
  const { runtime } = jobRuntime({ clock, log });
  const { calls, handler } = controlledHandler();
  runtime.operation("work", { concurrency: 2 }, handler);
  const first = await runtime.submit("work");
  await until(() => calls.length === 1, "the first handler");
  const starts = await runtime.submit("work", {}, { deferred: true });
  const cancelled = await runtime.submit("work", {}, { deferred: true });
  refuse("limit_exceeded");
  const starting = runtime.startJob({ $typeName: "tailrace.v1.StartJobRequest", jobId: starts.jobId });
  await settled();
  expect(getJob(runtime, starts.jobId).state).toBe(JobState.QUEUED);
  const cancelling = cancelJob(runtime, cancelled.jobId);
  await settled();
  refuse(undefined);
  clock.advance(100);
  expect((await cancelling).job?.state).toBe(JobState.CANCELLED);
  expect((await starting).job?.state).toBe(JobState.RUNNING);
  await until(() => calls.length === 2, "the handler that starts later");
  refuse("limit_exceeded");
  calls[1]?.finish();
  calls[0]?.finish();
  await settled();
  refuse(undefined);
  clock.advance(100);
  expect(await ended(runtime, starts.jobId)).toMatchObject({ state: JobState.SUCCEEDED });
  expect(await ended(runtime, first.jobId)).toMatchObject({ state: JobState.SUCCEEDED });
  expect(calls).toHaveLength(2);
});

test("a submit that finds no room leaves nothing behind", async () => {
  const { clock, log, refuse } = refusingLog();
  const { runtime } = jobRuntime({ clock, log });
  const { handler } = controlledHandler();
  runtime.operation("work", { concurrency: 1, queueDepth: 0 }, handler);
  refuse("limit_exceeded");
  const options = { idempotencyKey: "k" };
  await expect(runtime.submit("work", {}, options)).rejects.toMatchObject({ details: { limit: "room" } });
  expect(runtime.jobsHeld).toMatchObject({ jobs: 0, running: 0 });
  refuse(undefined);
  expect(await runtime.submit("work", {}, options)).toMatchObject({ duplicate: false });
});

test("a key that was used again before its first job could be forgotten is the later job's", async () => {
  const { clock, log, refuse } = refusingLog();
  const { runtime } = jobRuntime({ clock, log, jobs: { memoryMs: 5_000 } });
  runtime.operation("work", {}, async () => undefined);
  const options = { idempotencyKey: "k" };
  const first = await runtime.submit("work", {}, options);
  await ended(runtime, first.jobId);
  refuse("limit_exceeded");
  clock.advance(5_000);
  await settled();
  refuse(undefined);
  const second = await runtime.submit("work", {}, options);
  expect(second.duplicate).toBe(false);
  clock.advance(100);
  await until(() => log.job(first.jobId) === undefined, "the first to be forgotten");
  // Over a restart, because it is the log that must not have lost it.
  const again = jobRuntime({ clock, log }).runtime;
  expect(await again.submit("work", {}, options)).toMatchObject({ jobId: second.jobId, duplicate: true });
});

test("a log that fails for good is reported, and leaves what it knows to the next runtime", async () => {
  const { clock, log, refuse } = refusingLog();
  const { runtime, faults } = jobRuntime({ clock, log });
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const { jobId } = await runtime.submit("work");
  await until(() => calls.length === 1, "the handler");
  refuse("log_unavailable");
  calls[0]?.finish();
  await until(() => faults.length === 1, "the report");
  expect(faults[0]).toMatchObject({ reason: "log_unavailable" });
  refuse(undefined);
  const next = jobRuntime({ clock, log }).runtime;
  expect(await ended(next, jobId)).toMatchObject({ state: JobState.FAILED, reason: "runtime_restarted" });
});
