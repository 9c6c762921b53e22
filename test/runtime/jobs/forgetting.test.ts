import { expect, test } from "vitest";
import { StartAt } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import { limits } from "../../../src/base/limits.ts";
import { MemoryLog } from "../../../src/log/memory/index.ts";
import { until } from "../../support/until.ts";
import { framesUntil, isDiagnostic } from "../support.ts";
import { controlledHandler, ended, getJob, jobRuntime, listJobs, settled } from "./support.ts";

const notFound = expect.objectContaining({ reason: "job_not_found" });

test("a job is forgotten a day after its end, with its key and all that the log knows of it", async () => {
  const { runtime, log, clock, faults } = jobRuntime();
  runtime.operation("work", {}, async () => undefined);
  const { jobId } = await runtime.submit("work", {}, { idempotencyKey: "k" });
  await ended(runtime, jobId);
  clock.advance(60_000);
  const later = await runtime.submit("work");
  await ended(runtime, later.jobId);
  clock.advance(limits.jobMemoryMs - 60_001);
  await settled();
  expect(getJob(runtime, jobId).state).toBe(JobState.SUCCEEDED);
  clock.advance(1_001);
  await until(() => log.job(jobId) === undefined, "the job to be forgotten");
  expect(() => getJob(runtime, jobId)).toThrow(notFound);
  await expect(runtime.publish([{ jobId, payload: { case: "progress", value: { done: 1 } } }])).rejects.toEqual(
    notFound,
  );
  await expect(framesUntil(runtime.watch({ jobId }), () => true)).rejects.toEqual(notFound);
  expect(listJobs(runtime).jobs.map((job) => job.jobId)).toEqual([later.jobId]);
  expect([...log.stateEntries("job")].map(([key]) => key)).toEqual([`job/${later.jobId}`]);
  // The key is free again.
  const again = await runtime.submit("work", {}, { idempotencyKey: "k" });
  expect(again).toMatchObject({ duplicate: false });
  expect(again.jobId).not.toBe(jobId);
  clock.advance(60_000);
  await until(() => log.job(later.jobId) === undefined, "the other to be forgotten");
  expect(getJob(runtime, again.jobId).jobId).toBe(again.jobId);
  expect(faults).toEqual([]);
});

test("what ended before a restart is forgotten on its day, not a day after the restart", async () => {
  const { runtime, log, clock } = jobRuntime({ jobs: { memoryMs: 10_000 } });
  runtime.operation("work", {}, async () => undefined);
  const { jobId } = await runtime.submit("work");
  await ended(runtime, jobId);
  clock.advance(9_000);
  const second = jobRuntime({ log, clock, jobs: { memoryMs: 10_000 } }).runtime;
  expect(getJob(second, jobId).state).toBe(JobState.SUCCEEDED);
  clock.advance(1_000);
  await until(() => log.job(jobId) === undefined, "the job to be forgotten");
  expect(() => getJob(second, jobId)).toThrow(notFound);
});

test("beyond the bound the oldest ended go, never one that is active", async () => {
  const { runtime, log } = jobRuntime({ jobs: { maxJobs: 3 } });
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const ids: string[] = [];
  const submit = async () => ids.push((await runtime.submit("work")).jobId);
  for (let i = 0; i < 3; i++) await submit();
  await until(() => calls.length === 3, "the handlers");
  await expect(runtime.submit("work")).rejects.toMatchObject({
    reason: "limit_exceeded",
    details: { limit: "maxJobs", maximum: 3 },
  });
  // The second ends first.
  for (const i of [1, 0]) {
    calls[i]?.finish();
    await ended(runtime, ids[i] as string);
  }
  await submit();
  await until(() => log.job(ids[1] as string) === undefined, "the first that ended to go");
  expect(listJobs(runtime).jobs.map(({ jobId }) => jobId)).toEqual([ids[3], ids[2], ids[0]]);
  await submit();
  await expect(runtime.submit("work")).rejects.toMatchObject({ details: { limit: "maxJobs" } });
  // A place that was not used is none that is taken.
  expect(listJobs(runtime).jobs).toHaveLength(3);
});

test("records are bounded in bytes as well", async () => {
  const { runtime } = jobRuntime({ jobs: { maxRecordBytes: 100_000 } });
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const text = "x".repeat(40_000);
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) ids.push((await runtime.submit("work", { text })).jobId);
  await expect(runtime.submit("work")).rejects.toMatchObject({ details: { limit: "maxJobRecordBytes" } });
  await until(() => calls.length === 3, "the handlers");
  calls[0]?.finish();
  await ended(runtime, ids[0] as string);
  await runtime.submit("work", { text });
  expect(() => getJob(runtime, ids[0] as string)).toThrow(notFound);
  await expect(runtime.submit("work")).rejects.toMatchObject({ details: { limit: "maxJobRecordBytes" } });
});

test("which job ended first is known after a restart, too", async () => {
  const { runtime, log, clock } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) ids.push((await runtime.submit("work")).jobId);
  await until(() => calls.length === 3, "the handlers");
  for (const i of [2, 0, 1]) {
    calls[i]?.finish();
    await ended(runtime, ids[i] as string);
  }
  const second = jobRuntime({ log, clock, jobs: { maxJobs: 3 } }).runtime;
  second.operation("work", {}, handler);
  await second.submit("work");
  await until(() => log.job(ids[2] as string) === undefined, "the first that ended to go");
  expect(
    listJobs(second)
      .jobs.slice(1)
      .map(({ jobId }) => jobId),
  ).toEqual([ids[1], ids[0]]);
});

test("the outcome of a job outlives its events", async () => {
  const clock = new ManualClock();
  const log = new MemoryLog({ runtimeId: "test", clock, retention: { ageMs: 10_000, workerAgeMs: 10_000 } });
  const { runtime } = jobRuntime({ log, clock });
  runtime.operation("work", {}, async () => ({ message: "all done" }));
  const { jobId } = await runtime.submit("work");
  await ended(runtime, jobId);
  clock.advance(20_000);
  await until(() => log.job(jobId)?.retainedEvents === 0, "its events to be trimmed");
  expect(getJob(runtime, jobId)).toMatchObject({ state: JobState.SUCCEEDED, events: 5n, retainedEvents: 0n });
  const start = { case: "startAt" as const, value: StartAt.EARLIEST };
  const frames = await framesUntil(runtime.watch({ jobId, start }), isDiagnostic("streamEnded"));
  expect(frames.at(-1)?.value).toMatchObject({
    reason: { value: { end: { case: "job", value: { state: JobState.SUCCEEDED, message: "all done" } } } },
  });
});

test("what is held of jobs stays in proportion to what is remembered", async () => {
  const { runtime, log } = jobRuntime({ jobs: { maxJobs: 100 } });
  runtime.operation("short", { concurrency: 50 }, async (_, job) => {
    job.environment();
    await job.narrate("said", "x");
  });
  let last = "";
  for (let round = 0; round < 30; round++) {
    const jobs = await Promise.all(
      Array.from({ length: 50 }, (_, i) => runtime.submit("short", {}, { idempotencyKey: `${round}-${i}` })),
    );
    for (const { jobId } of jobs) await ended(runtime, jobId);
    last = jobs.at(-1)?.jobId as string;
  }
  await until(() => runtime.jobsHeld.running === 0, "the last ends");
  expect(getJob(runtime, last).state).toBe(JobState.SUCCEEDED);
  const { jobs, places, running, tokens } = runtime.jobsHeld;
  expect([jobs, running, tokens]).toEqual([100, 0, 0]);
  expect(places).toBeLessThan(4 * 100 + 64);
  expect([...log.stateEntries("job")]).toHaveLength(2 * 100);
  expect([...log.jobs()]).toHaveLength(100);
});
