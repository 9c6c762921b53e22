import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { JobFailure } from "../../../src/runtime/jobs/operation.ts";
import { until } from "../../support/until.ts";
import {
  complete,
  controlledHandler,
  ended,
  eventsOfJob,
  failed,
  getJob,
  jobRuntime,
  nameOf,
  said,
  settled,
  startJob,
} from "./support.ts";

test("a job runs, narrates, and ends in one append with its state", async () => {
  const { runtime, log, faults } = jobRuntime();
  const appended: string[][] = [];
  const states: string[] = [];
  runtime.operation("greet", {}, async (params, job) => {
    await job.narrate("greeting", `Hello, ${params["name"]}.`);
    await job.progress({ done: 1, total: 2, unit: "steps" });
  });
  const submitted = await runtime.submit("greet", { name: "Ada" }, { workerId: "w", correlationId: "c" });
  log.subscribe((block) => {
    appended.push(Array.from({ length: block.length }, (_, i) => String(block.kinds[i])));
    states.push(nameOf(getJob(runtime, submitted.jobId).state));
  });
  const events = await eventsOfJob(runtime, submitted.jobId);
  expect(said(events)).toEqual([
    "queued",
    "running",
    "execute",
    "greeting",
    "progress",
    "execute_complete",
    "succeeded",
  ]);
  expect(new Set(events.map(({ jobId, workerId, correlationId }) => `${jobId} ${workerId} ${correlationId}`))).toEqual(
    new Set([`${submitted.jobId} w c`]),
  );
  expect(getJob(runtime, submitted.jobId)).toMatchObject({ operation: "greet", params: { name: "Ada" }, events: 7n });
  // The last block has the narration of the end and the state, and with it the record says the same.
  expect(appended.at(-1)).toHaveLength(2);
  expect(states.at(-1)).toBe("succeeded");
  expect(states.slice(0, -1)).not.toContain("succeeded");
  expect(faults).toEqual([]);
});

test("a deferred job waits for its start, however long it is watched", async () => {
  const { runtime } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const { jobId, job } = await runtime.submit("work", {}, { deferred: true });
  expect(job).toMatchObject({ state: JobState.QUEUED, deferred: true });
  const frames = runtime.watch({ jobId })[Symbol.asyncIterator]();
  await frames.next();
  await settled();
  expect(calls).toHaveLength(0);
  expect((await startJob(runtime, jobId)).job).toMatchObject({ state: JobState.RUNNING, deferred: false });
  await until(() => calls.length === 1, "the handler");
  await startJob(runtime, jobId);
  calls[0]?.finish();
  expect(said(await eventsOfJob(runtime, jobId))).toEqual(complete);
  await startJob(runtime, jobId);
  await settled();
  expect(calls).toHaveLength(1);
  await frames.return?.();
});

test("the outcome is what the handler did, whatever its words say", async () => {
  const { runtime } = jobRuntime();
  runtime.operation("gloomy", {}, async (_, job) => {
    await job.narrate("report", "error: failed: [ERROR] everything failed", { level: "error" });
  });
  runtime.operation("merry", {}, async (_, job) => {
    await job.narrate("report", "[DONE] all is well, success");
    throw new JobFailure("succeeded completely");
  });
  const gloomy = await runtime.submit("gloomy");
  const merry = await runtime.submit("merry");
  expect(await ended(runtime, gloomy.jobId)).toMatchObject({ state: JobState.SUCCEEDED, reason: "" });
  expect(await ended(runtime, merry.jobId)).toMatchObject({ state: JobState.FAILED, reason: "handler_failed" });
});

test.each([
  ["an error", new Error("no such city"), "handler_failed", "no such city"],
  ["a text", "just words", "handler_failed", "just words"],
  ["nothing", undefined, "handler_failed", "undefined"],
  [
    "what the system says",
    await readFile("/nowhere/secret").catch((error) => error),
    "handler_failed",
    "ENOENT (open)",
  ],
  [
    "a spawn that failed",
    Object.assign(new Error(), { code: "ENOENT", syscall: "spawn /a/b" }),
    "handler_failed",
    "ENOENT (spawn)",
  ],
  ["what has no text", Object.create(null), "handler_failed", "The job failed."],
  ["an error that lies about its text", Object.assign(new Error(), { message: 7 }), "handler_failed", "7"],
])("a handler that throws %s fails its job and is reported", async (_, thrown, reason, message) => {
  const { runtime, faults } = jobRuntime();
  runtime.operation("fail", {}, () => {
    throw thrown;
  });
  const { jobId } = await runtime.submit("fail");
  expect(await ended(runtime, jobId)).toMatchObject({ state: JobState.FAILED, reason, message });
  expect(said(await eventsOfJob(runtime, jobId))).toEqual(failed);
  expect(faults).toHaveLength(1);
  expect((faults[0] as Error).cause).toBe(thrown);
});

test("a failure on purpose carries its exit code and is no fault", async () => {
  const { runtime, faults } = jobRuntime();
  runtime.operation("exit", {}, async () => {
    throw new JobFailure("the command ended with 3", { exitCode: 3 });
  });
  runtime.operation("killed", {}, async () => {
    throw new JobFailure("the command was killed", { reason: "signal" });
  });
  runtime.operation("fine", {}, async () => ({ message: "all 3 files", exitCode: 0 }));
  const exit = await runtime.submit("exit");
  const killed = await runtime.submit("killed");
  const fine = await runtime.submit("fine");
  expect(await ended(runtime, exit.jobId)).toMatchObject({ reason: "exit_code", exitCode: 3 });
  expect(await ended(runtime, killed.jobId)).toMatchObject({ reason: "signal" });
  expect(await ended(runtime, fine.jobId)).toMatchObject({ message: "all 3 files", exitCode: 0 });
  const end = (await eventsOfJob(runtime, exit.jobId)).at(-1)?.payload;
  expect(end).toMatchObject({ case: "jobStateChanged", value: { exitCode: 3, operation: "exit" } });
  expect(faults).toEqual([]);
});

test("a job outlives its worker", async () => {
  const { runtime, faults } = jobRuntime();
  runtime.operation("work", {}, async (_, job) => {
    await runtime.worker("w").end({});
    await job.narrate("after", "the worker is gone");
  });
  const { jobId } = await runtime.submit("work", {}, { workerId: "w" });
  expect(await ended(runtime, jobId)).toMatchObject({ state: JobState.SUCCEEDED });
  const events = await eventsOfJob(runtime, jobId);
  expect(said(events).slice(-3)).toEqual(["after", "execute_complete", "succeeded"]);
  expect(events.at(-1)?.workerId).toBe("");
  await expect(runtime.submit("work", {}, { workerId: "w" })).rejects.toMatchObject({
    details: { field: "worker_id" },
  });
  expect(faults).toEqual([]);
});

test("nobody but the runtime says what state a job is in", async () => {
  const { runtime } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const { jobId } = await runtime.submit("work");
  await until(() => calls.length === 1, "the handler");
  const forged = { case: "jobStateChanged" as const, value: { state: JobState.SUCCEEDED } };
  await expect(runtime.publish([{ jobId, payload: forged }])).rejects.toMatchObject({ reason: "invalid_request" });
  await expect(calls[0]?.job.publish(forged)).rejects.toMatchObject({ reason: "invalid_request" });
  expect(getJob(runtime, jobId).state).toBe(JobState.RUNNING);
});
