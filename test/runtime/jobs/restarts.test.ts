import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { until } from "../../support/until.ts";
import {
  controlledHandler,
  ended,
  eventsOfJob,
  failed,
  getJob,
  jobRuntime,
  said,
  settled,
  startJob,
} from "./support.ts";

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

test("close settles also where nothing but a deaf handler is left in the process", async () => {
  // It rejects if the process ends with another code than 0, as it does where its last await never settles.
  const program = fileURLToPath(new URL("./closing.ts", import.meta.url));
  expect((await promisify(execFile)(process.execPath, [program, scratchDirectory()])).stdout).toBe("closed\n");
});
