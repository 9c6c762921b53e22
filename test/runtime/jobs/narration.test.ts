import { AsyncLocalStorage } from "node:async_hooks";
import { EventEmitter, once } from "node:events";
import { expect, test } from "vitest";
import { JobState, NarrationLevel } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { currentJob, jobLogger, narrate, progress } from "../../../src/index.ts";
import type { JobContext } from "../../../src/runtime/jobs/operation.ts";
import { until } from "../../support/until.ts";
import { eventsIn, framesUntil, isDiagnostic } from "../support.ts";
import { controlledHandler, ended, eventsOfJob, jobRuntime, settled } from "./support.ts";

test("a thousand jobs at once narrate from nested code, timers, emitters and promises, each as itself", async () => {
  const { runtime, faults } = jobRuntime();
  const count = 1_000;
  const shared = new EventEmitter();
  shared.setMaxListeners(0);
  const words = ["nested", "timer", "immediate", "microtask", "emitter", "bound", "stream", "log"];
  const nested = async (n: number, depth: number): Promise<void> => {
    if (depth === 0) await narrate("nested", String(n));
    else await Promise.resolve().then(() => nested(n, depth - 1));
  };
  let gathered = 0;
  const all = Promise.withResolvers<void>();
  runtime.operation("talk", { concurrency: count, queueDepth: count }, async (params, job) => {
    const n = params["n"] as number;
    expect(currentJob()).toBe(job);
    const heard = once(shared, "bound-done");
    // Called by someone who is in no job, or in another: only the binding tells.
    shared.on(
      "everyone",
      job.bind(() => void narrate("bound", String(n))),
    );
    if (++gathered === count) all.resolve();
    await all.promise;
    const own = new EventEmitter();
    own.on("said", () => void narrate("emitter", String(n)));
    await Promise.all([
      nested(n, 5),
      new Promise<void>((resolve) => setTimeout(() => void narrate("timer", String(n)).then(() => resolve()), n % 7)),
      new Promise<void>((resolve) => setImmediate(() => void narrate("immediate", String(n)).then(() => resolve()))),
      new Promise<void>((resolve) => queueMicrotask(() => void narrate("microtask", String(n)).then(() => resolve()))),
      (async () => {
        own.emit("said");
        for await (const chunk of [Promise.resolve("a")]) await narrate("stream", String(n), { target: chunk });
      })(),
    ]);
    jobLogger.info(String(n));
    await heard;
  });
  const jobs = await Promise.all(
    Array.from({ length: count }, (_, n) => runtime.submit("talk", { n }, { correlationId: `c${n}` })),
  );
  await all.promise;
  await settled();
  shared.emit("everyone");
  await settled();
  shared.emit("bound-done");
  for (const { jobId } of jobs) await ended(runtime, jobId);
  const numbers = new Map(jobs.map(({ jobId }, n) => [jobId, n]));
  const heard = new Map<number, string[]>();
  const events = eventsIn(await framesUntil(runtime.watch(), isDiagnostic("caughtUp")));
  for (const { jobId, correlationId, payload } of events) {
    if (payload.case !== "narration" || !words.includes(payload.value.action)) continue;
    const n = Number(payload.value.message);
    expect([numbers.get(jobId), correlationId]).toEqual([n, `c${n}`]);
    heard.set(n, [...(heard.get(n) ?? []), payload.value.action]);
  }
  expect(heard.size).toBe(count);
  const expected = [...words].sort();
  for (const actions of heard.values()) expect(actions.sort()).toEqual(expected);
  expect(faults).toEqual([]);
});

test("a job that another one submits is its own, and does not inherit who started it", async () => {
  const { runtime } = jobRuntime();
  const seen: (string | undefined)[] = [];
  const request = new AsyncLocalStorage<string>();
  runtime.operation("inner", {}, async () => {
    seen.push(currentJob()?.id, request.getStore());
  });
  let inner = "";
  runtime.operation("outer", {}, async (_, job) => {
    inner = (await request.run("a request", () => runtime.submit("inner"))).jobId;
    await ended(runtime, inner);
    expect(currentJob()?.id).toBe(job.id);
  });
  const outer = await runtime.submit("outer");
  await ended(runtime, outer.jobId);
  expect(seen).toEqual([inner, undefined]);
});

test("outside of a job nothing is narrated in silence", () => {
  expect(currentJob()).toBeUndefined();
  const refused = expect.objectContaining({ reason: "invalid_request" });
  expect(() => narrate("a", "b")).toThrow(refused);
  expect(() => progress({ done: 1 })).toThrow(refused);
  expect(() => jobLogger.warn("c")).toThrow(refused);
});

test("a narration has every field that it was given", async () => {
  const { runtime } = jobRuntime();
  runtime.operation("talk", {}, async (_, job) => {
    await job.narrate("load", "Loading.", {
      level: "warn",
      actor: "loader",
      target: "model",
      human: "h",
      cute: "c",
      story: "s",
      emittedBy: "test 1",
      errorKind: "slow",
      retryAfterMs: 1_500,
      queuePosition: 2,
      durationMs: 20,
      inputTokens: 3,
      outputTokens: 4,
      traceId: "t",
      spanId: "p",
      correlationId: "own",
      producerTimeMs: 5_000,
    });
    await job.narrate("enum", "", { level: NarrationLevel.DEBUG });
    job.log.debug("d");
    job.log.error("e");
    await job.progress({ done: 1.5, task: "download", message: "half" });
  });
  const { jobId } = await runtime.submit("talk", {}, { correlationId: "job" });
  const events = await eventsOfJob(runtime, jobId);
  const narrations = events.flatMap(({ payload }) => (payload.case === "narration" ? [payload.value] : []));
  expect(narrations[1]).toMatchObject({
    action: "load",
    message: "Loading.",
    level: NarrationLevel.WARN,
    actor: "loader",
    target: "model",
    human: "h",
    cute: "c",
    story: "s",
    emittedBy: "test 1",
    errorKind: "slow",
    retryAfter: { seconds: 1n, nanos: 500_000_000 },
    queuePosition: 2,
    duration: { seconds: 0n, nanos: 20_000_000 },
    inputTokens: 3n,
    outputTokens: 4n,
    traceId: "t",
    spanId: "p",
  });
  expect(events[3]).toMatchObject({ correlationId: "own", producerTime: { seconds: 5n } });
  expect(narrations.slice(2, 5).map(({ level, message }) => [level, message])).toEqual([
    [NarrationLevel.DEBUG, ""],
    [NarrationLevel.DEBUG, "d"],
    [NarrationLevel.ERROR, "e"],
  ]);
  const bar = events.find(({ payload }) => payload.case === "progress")?.payload.value;
  expect(bar).toMatchObject({ done: 1.5, task: "download", message: "half" });
  expect(bar).not.toHaveProperty("total");
});

test("a narration with what is no number is refused like any other, and the handler goes on", async () => {
  const { runtime, faults } = jobRuntime();
  const refused: unknown[] = [];
  runtime.operation("talk", {}, async (_, job) => {
    jobLogger.info("not a whole number", { inputTokens: 1.5 });
    await job.narrate("a", "b", { durationMs: Number.NaN }).catch((error: unknown) => refused.push(error));
  });
  const { jobId } = await runtime.submit("talk");
  expect(await ended(runtime, jobId)).toMatchObject({ state: JobState.SUCCEEDED });
  expect([refused.length, faults.length]).toEqual([1, 1]);
});

test("what a worker says in a handler is the job's while the job runs", async () => {
  const { runtime, log, clock } = jobRuntime();
  const other = jobRuntime({ clock }).runtime;
  const { calls, handler } = controlledHandler();
  let later: (() => Promise<unknown>) | undefined;
  runtime.operation("work", {}, (params, job) => {
    const worker = runtime.worker("w");
    later = job.bind(() => worker.custom("later", ""));
    const saidAll = (async () => {
      await worker.stdout("by default");
      await worker.custom("own", "", "", { jobId: "", correlationId: "mine" });
      await other.worker("w").custom("elsewhere", "");
    })();
    return saidAll.then(() => handler(params, job));
  });
  const { jobId } = await runtime.submit("work", {}, { correlationId: "c" });
  await until(() => calls.length === 1, "what the worker says");
  calls[0]?.finish();
  await ended(runtime, jobId);
  await later?.();
  const read = async (from: typeof runtime) =>
    eventsIn(await framesUntil(from.watch({ workerIds: ["w"] }), isDiagnostic("caughtUp"))).map(
      (event) => [event.payload.case, event.jobId, event.correlationId] as const,
    );
  expect(await read(runtime)).toEqual([
    ["workerCreated", "", ""],
    ["output", jobId, "c"],
    ["custom", "", "mine"],
    ["custom", "", "c"],
  ]);
  expect((await read(other)).at(-1)).toEqual(["custom", "", ""]);
  expect(log.job(jobId)?.lastOrdinal).toBe(6);
});

test("an event that is refused is reported once, and kills nothing that did not wait for it", async () => {
  const { runtime, faults } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", {}, handler);
  const { jobId } = await runtime.submit("work");
  await until(() => calls.length === 1, "the handler");
  const job = calls[0]?.job as JobContext;
  calls[0]?.finish();
  await ended(runtime, jobId);
  for (let i = 0; i < 10; i++) job.log.info("late");
  void job.narrate("late", "too");
  await settled();
  expect(faults).toHaveLength(1);
  expect((faults[0] as Error).cause).toMatchObject({ reason: "job_ended", details: { jobId, state: "succeeded" } });
});
