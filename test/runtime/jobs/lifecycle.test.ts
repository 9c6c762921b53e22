import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock, type StopTimer } from "../../../src/base/clock.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { JobFailure } from "../../../src/runtime/jobs/operation.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { until } from "../../support/until.ts";
import {
  cancelJob,
  controlledHandler,
  ended,
  eventsOfJob,
  getJob,
  jobRuntime,
  nameOf,
  said,
  settled,
  startJob,
} from "./support.ts";

const complete = ["queued", "running", "execute", "execute_complete", "succeeded"];
const failed = ["queued", "running", "execute", "execute_error", "failed"];

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

test("a job that waited over a restart runs only with parameters that its operation takes now", async () => {
  const directory = scratchDirectory();
  const first = new Runtime({ log: await openEmbeddedLog({ directory, durability: "process" }) });
  first.operation("work", {}, () => undefined);
  const fits = await first.submit("work", { n: 1 }, { deferred: true });
  const doesNot = await first.submit("work", { n: "../../etc" }, { deferred: true });
  await first.close();

  const second = new Runtime({
    log: await openEmbeddedLog({ directory, durability: "process" }),
    onError: () => undefined,
  });
  const given: unknown[] = [];
  const params = {
    "~standard": {
      version: 1 as const,
      vendor: "test",
      validate: (value: unknown) => {
        const { n } = value as { n: unknown };
        return typeof n === "number"
          ? { value: { n, unit: "files" } }
          : { issues: [{ message: "it is no number", path: ["n"] }] };
      },
    },
  };
  second.operation("work", { params }, (value) => {
    given.push(value);
  });
  for (const { jobId } of [fits, doesNot]) await startJob(second, jobId);
  expect((await ended(second, fits.jobId)).state).toBe(JobState.SUCCEEDED);
  const refused = await ended(second, doesNot.jobId);
  expect(refused).toMatchObject({ state: JobState.FAILED, reason: "invalid_params" });
  expect(refused.message).toContain("params.n");
  expect(given).toEqual([{ n: 1, unit: "files" }]);
  await second.close();
});

test("over a restart what ran has failed, and what waited waits on and runs", async () => {
  const directory = scratchDirectory();
  const open = async () => {
    const log = await openEmbeddedLog({ directory, durability: "process" });
    const { calls, handler } = controlledHandler();
    return { log, calls, handler };
  };
  const before = await open();
  const first = new Runtime({ log: before.log });
  first.operation("work", { concurrency: 1 }, before.handler);
  const running = await first.submit("work", { n: 1 }, { workerId: "w" });
  const waiting = await first.submit("work", { n: 2 }, { correlationId: "c" });
  const deferred = await first.submit("work", { n: 3 }, { deferred: true });
  const started = await first.submit("work", { n: 4 }, { deferred: true });
  expect((await startJob(first, started.jobId)).job).toMatchObject({ state: JobState.QUEUED, deferred: false });
  await until(() => before.calls.length === 1, "the handler");
  // As after a kill: the log lets go of its files, and nothing of the runtime is closed.
  await before.log.close();

  const after = await open();
  const second = new Runtime({ log: after.log });
  expect(await ended(second, running.jobId)).toMatchObject({
    state: JobState.FAILED,
    reason: "runtime_restarted",
    params: { n: 1 },
  });
  expect(said(await eventsOfJob(second, running.jobId))).toEqual(failed);
  expect(getJob(second, waiting.jobId)).toMatchObject({ state: JobState.QUEUED, queuePosition: 1 });
  second.operation("work", { concurrency: 1 }, after.handler);
  await until(() => after.calls.length === 1, "the handler of the job that waited");
  expect(after.calls[0]).toMatchObject({ params: { n: 2 }, job: { correlationId: "c" } });
  after.calls[0]?.finish();
  await ended(second, waiting.jobId);
  // That it was to start holds, too.
  await until(() => after.calls.length === 2, "the handler of the job that was started");
  expect(after.calls[1]?.params).toEqual({ n: 4 });
  after.calls[1]?.finish();
  await ended(second, started.jobId);
  await settled();
  expect(after.calls).toHaveLength(2);
  await startJob(second, deferred.jobId);
  await until(() => after.calls.length === 3, "the deferred job");
  after.calls[2]?.finish();
  await ended(second, deferred.jobId);
  await second.close();
});

test("close ends what runs and leaves what waits for the next runtime", async () => {
  const { runtime, clock } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", { concurrency: 1, cancelGraceMs: 1_000 }, handler);
  const running = await runtime.submit("work");
  const waiting = await runtime.submit("work");
  await until(() => calls.length === 1, "the handler");
  const closing = runtime.close();
  await expect(runtime.submit("work")).rejects.toMatchObject({ reason: "server_closing" });
  expect(calls[0]?.job.signal.aborted).toBe(true);
  await calls[0]?.job.narrate("tidy", "putting things away");
  clock.advance(1_000);
  await closing;
  expect(getJob(runtime, running.jobId)).toMatchObject({ state: JobState.FAILED, reason: "runtime_closed" });
  expect(getJob(runtime, waiting.jobId)).toMatchObject({ state: JobState.QUEUED });
  expect(calls).toHaveLength(1);
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

test("close settles also where nothing but a deaf handler is left in the process", async () => {
  // It rejects if the process ends with another code than 0, as it does where its last await never settles.
  const program = fileURLToPath(new URL("./closing.ts", import.meta.url));
  expect((await promisify(execFile)(process.execPath, [program, scratchDirectory()])).stdout).toBe("closed\n");
});
