import { create, type JsonObject } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { JobStart, SubmitJobRequestSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { StandardSchemaV1 } from "../../../src/runtime/jobs/standard-schema.ts";
import { until } from "../../support/until.ts";
import { eventsIn, framesUntil, isDiagnostic } from "../support.ts";
import {
  cancelJob,
  controlledHandler,
  ended,
  getJob,
  jobRuntime,
  listJobs,
  said,
  settled,
  startJob,
} from "./support.ts";

/** A schema as a library would make it: a city, and how often, 3 times if not said. */
const citySchema: StandardSchemaV1<unknown, { city: string; times: number }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    async validate(value) {
      const { city, times = 3 } = value as { city?: unknown; times?: unknown };
      if (typeof city !== "string") return { issues: [{ message: "it is a text", path: ["city"] }] };
      if (typeof times !== "number") {
        return { issues: [{ message: "it is a number", path: [{ key: "times" }, 0, "x"] }, { message: "and more" }] };
      }
      return { value: { city, times } };
    },
  },
};

test("parameters are checked before there is a job, and defaults are filled in", async () => {
  const { runtime } = jobRuntime();
  const seen: { city: string; times: number }[] = [];
  runtime.operation("visit", { params: citySchema }, async (params) => {
    // The types follow from the schema.
    seen.push({ city: params.city.toUpperCase(), times: params.times + 1 });
  });
  await expect(runtime.submit("visit", { city: 7 })).rejects.toMatchObject({
    reason: "invalid_request",
    details: { field: "params.city", description: "it is a text" },
  });
  await expect(runtime.submit("visit", { city: "x", times: "many" })).rejects.toMatchObject({
    details: { field: "params.times[0].x", description: "it is a number (and 1 more)" },
  });
  expect(listJobs(runtime).jobs).toEqual([]);
  const { jobId, job } = await runtime.submit("visit", { city: "Bern" });
  expect(job?.params).toEqual({ city: "Bern", times: 3 });
  await ended(runtime, jobId);
  expect(seen).toEqual([{ city: "BERN", times: 4 }]);
});

const deep = (levels: number): JsonObject => (levels === 0 ? {} : { a: deep(levels - 1) });

test.each<[string, object, string]>([
  ["no operation", {}, "operation"],
  ["an unknown operation", { operation: "nap" }, "operation"],
  ["a long name", { operation: "x".repeat(257) }, "operation"],
  ["an unknown start", { operation: "work", start: 9 }, "start"],
  ["a long key", { operation: "work", idempotencyKey: "k".repeat(257) }, "idempotency_key"],
  ["a long worker id", { operation: "work", workerId: "é".repeat(129) }, "worker_id"],
  ["a long correlation id", { operation: "work", correlationId: "c".repeat(257) }, "correlation_id"],
  ["no time", { operation: "work", timeouts: { total: { seconds: 0n } } }, "timeouts.total"],
  ["a negative time", { operation: "work", timeouts: { idle: { seconds: -1n } } }, "timeouts.idle"],
  ["a time out of range", { operation: "work", timeouts: { queue: { seconds: 0n, nanos: -1 } } }, "timeouts.queue"],
  ["a time beyond all", { operation: "work", timeouts: { total: { seconds: 2n ** 62n } } }, "timeouts.total"],
  ["what is no number, under a key", { operation: "work", params: { a: Number.NaN }, idempotencyKey: "k" }, "params.a"],
  [
    "a long wrong name",
    { operation: "work", params: { ["x".repeat(500)]: Number.NaN } },
    `params.${"x".repeat(249)}...`,
  ],
  ["much too large parameters", { operation: "work", params: { a: "x".repeat(70_000) } }, "params"],
  ["deep parameters", { operation: "work", params: deep(65) }, `params${".a".repeat(65)}`],
  ["a torn character", { operation: "work", params: { a: ["\ud800"] } }, "params.a[0]"],
  ["what is no number", { operation: "work", params: { a: Number.NaN } }, "params.a"],
  ["a prototype", { operation: "work", params: JSON.parse('{"a": {"__proto__": {"admin": true}}}') }, "params.a"],
])("a request with %s is refused and names the field", async (_, init, field) => {
  const { runtime, log } = jobRuntime();
  runtime.operation("work", {}, async () => undefined);
  const { sequence } = log.bounds({ kind: "runtime" }).head;
  const request = { ...create(SubmitJobRequestSchema), ...init } as never;
  await expect(runtime.submitJob(request)).rejects.toMatchObject({ reason: "invalid_request", details: { field } });
  await settled();
  expect(log.bounds({ kind: "runtime" }).head.sequence - sequence).toBeLessThanOrEqual(1);
});

test("a bound of less than a millisecond is one of a millisecond, and what is no time is refused", async () => {
  const { runtime } = jobRuntime();
  runtime.operation("work", {}, controlledHandler().handler);
  const timeouts = { total: { $typeName: "google.protobuf.Duration" as const, seconds: 0n, nanos: 1 } };
  const { job } = await runtime.submitJob(create(SubmitJobRequestSchema, { operation: "work", timeouts }));
  expect(job?.timeouts?.total).toMatchObject({ seconds: 0n, nanos: 1_000_000 });
  for (const totalMs of [Number.NaN, Number.POSITIVE_INFINITY, 0, -5]) {
    await expect(runtime.submit("work", {}, { timeouts: { totalMs } })).rejects.toMatchObject({
      details: { field: "timeouts.total" },
    });
  }
});

test("operations that make no sense are refused", () => {
  const { runtime } = jobRuntime();
  const handler = async () => undefined;
  runtime.operation("work", {}, handler);
  const refused = (options: object, field: string, name = "other", run: unknown = handler) =>
    expect(() => runtime.operation(name, options, run as never)).toThrow(
      expect.objectContaining({ reason: "invalid_request", details: expect.objectContaining({ field }) }),
    );
  refused({}, "operation", "work");
  refused({}, "operation", "");
  refused({}, "handler", "other", "not a function");
  refused({ concurrency: 0 }, "concurrency");
  refused({ queueDepth: 1.5 }, "queueDepth");
  refused({ cancelGraceMs: -1 }, "cancelGraceMs");
  refused({ timeouts: { totalMs: 0 } }, "timeouts.totalMs");
  refused({ timeouts: { totalSeconds: 1 } }, "timeouts.totalSeconds");
  refused({ params: { type: "object" } }, "params");
});

test("the cursor of a submitted job is before everything of it", async () => {
  const { runtime } = jobRuntime();
  runtime.operation("work", {}, async () => undefined);
  const { jobId, cursor, streamUrl } = await runtime.submit("work", {}, { workerId: "new" });
  expect(streamUrl).toBe(`/v1/jobs/${jobId}/stream`);
  await ended(runtime, jobId);
  const watch = runtime.watch({ jobId, start: { case: "cursor", value: cursor } });
  const events = eventsIn(await framesUntil(watch, isDiagnostic("streamEnded")));
  expect(said(events)[0]).toBe("queued");
  expect(events).toHaveLength(5);
});

test("the same key and request give the same job, also at once, after its end and after a restart", async () => {
  const { runtime, log, clock } = jobRuntime();
  let runs = 0;
  const work = async () => {
    runs++;
  };
  runtime.operation("work", {}, work);
  runtime.operation("other", {}, work);
  const options = { idempotencyKey: "k", correlationId: "c" };
  const params = { a: 1, b: { c: [1, 2], d: null } };
  const reordered = { b: { d: null, c: [1, 2] }, a: 1 };
  const answers = await Promise.all([
    runtime.submit("work", params, options),
    runtime.submit("work", reordered, options),
    runtime.submit("work", params, options),
  ]);
  const [{ jobId, cursor }] = answers;
  expect(answers.map((answer) => [answer.jobId, answer.cursor, answer.duplicate])).toEqual([
    [jobId, cursor, false],
    [jobId, cursor, true],
    [jobId, cursor, true],
  ]);
  await ended(runtime, jobId);
  const other = [
    runtime.submit("work", { a: 2 }, options),
    runtime.submit("other", params, options),
    runtime.submit("work", params, { ...options, deferred: true }),
    runtime.submit("work", params, { ...options, workerId: "w" }),
    runtime.submit("work", params, { ...options, timeouts: { idleMs: 5 } }),
  ];
  const refusal = { reason: "invalid_request", details: { field: "idempotency_key" } };
  await Promise.all(other.map((request) => expect(request).rejects.toMatchObject(refusal)));
  const again = jobRuntime({ log, clock }).runtime;
  // Also before the operation is declared again: the answer is known.
  expect(await again.submit("work", params, options)).toMatchObject({ jobId, cursor, duplicate: true });
  expect(runs).toBe(1);
});

test("a key whose first request failed is good for the next", async () => {
  const { runtime } = jobRuntime();
  runtime.operation("visit", { params: citySchema }, async () => undefined);
  const bad = runtime.submit("visit", {}, { idempotencyKey: "k" });
  const good = runtime.submit("visit", { city: "Bern" }, { idempotencyKey: "k" });
  await expect(bad).rejects.toMatchObject({ reason: "invalid_request" });
  expect(await good).toMatchObject({ duplicate: false });
});

test("a full queue refuses more, deferred jobs included, and takes them again when there is room", async () => {
  const { runtime } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", { concurrency: 2, queueDepth: 3 }, handler);
  const deferred = await Promise.all([1, 2, 3].map(() => runtime.submit("work", {}, { deferred: true })));
  const full = { reason: "limit_exceeded", details: { limit: "queueDepth", maximum: 3 } };
  await expect(runtime.submit("work", {}, { deferred: true })).rejects.toMatchObject(full);
  // What is deferred takes no place from what runs.
  await runtime.submit("work");
  await runtime.submit("work");
  await until(() => calls.length === 2, "the handlers");
  await expect(runtime.submit("work")).rejects.toMatchObject(full);
  await cancelJob(runtime, deferred[0]?.jobId as string);
  const third = await runtime.submit("work");
  await expect(runtime.submit("work")).rejects.toMatchObject(full);
  for (const { jobId } of deferred.slice(1)) await startJob(runtime, jobId);
  expect(getJob(runtime, third.jobId).queuePosition).toBe(1);
  expect(getJob(runtime, deferred[1]?.jobId as string).queuePosition).toBe(2);
  calls[0]?.finish();
  await until(() => calls.length === 3, "the third");
  expect(calls[2]?.job.id).toBe(third.jobId);
});

test("at most so many run at once, however many are submitted together", async () => {
  const { runtime } = jobRuntime();
  let running = 0;
  let most = 0;
  runtime.operation("work", { concurrency: 3 }, async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
  });
  const jobs = await Promise.all(Array.from({ length: 40 }, () => runtime.submit("work")));
  for (const { jobId } of jobs) await ended(runtime, jobId);
  expect(most).toBe(3);
});

test("commands for a job that does not exist say so", async () => {
  const { runtime } = jobRuntime();
  const notFound = { reason: "job_not_found", details: { jobId: "nobody" } };
  await expect(startJob(runtime, "nobody")).rejects.toMatchObject(notFound);
  await expect(cancelJob(runtime, "nobody")).rejects.toMatchObject(notFound);
  expect(() => getJob(runtime, "nobody")).toThrow(expect.objectContaining(notFound));
  await expect(runtime.publish([{ jobId: "nobody", payload: { case: "progress", value: {} } }])).rejects.toMatchObject(
    notFound,
  );
  await expect(cancelJob(runtime, "", "")).rejects.toMatchObject({ details: { field: "job_id" } });
  await expect(cancelJob(runtime, "x", "m".repeat(1025))).rejects.toMatchObject({ details: { field: "message" } });
});

test("a request without a start is one that starts at once", async () => {
  const { runtime } = jobRuntime();
  runtime.operation("work", {}, async () => undefined);
  const { jobId } = await runtime.submitJob(
    create(SubmitJobRequestSchema, { operation: "work", start: JobStart.UNSPECIFIED }),
  );
  expect(await ended(runtime, jobId)).toMatchObject({ state: JobState.SUCCEEDED });
});
