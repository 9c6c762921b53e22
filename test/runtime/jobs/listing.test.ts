import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { GetJobRequestSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { limits } from "../../../src/base/limits.ts";
import { until } from "../../support/until.ts";
import { eventsIn, framesUntil, isDiagnostic } from "../support.ts";
import { cancelJob, controlledHandler, ended, jobRuntime, listJobs, startJob } from "./support.ts";

test("jobs are listed newest first, by state and operation, in pages that stay as they are", async () => {
  const { runtime, log, clock } = jobRuntime();
  const { handler } = controlledHandler();
  runtime.operation("a", { concurrency: 1 }, handler);
  runtime.operation("b", {}, async () => undefined);
  const ids: string[] = [];
  for (let i = 0; i < 7; i++)
    ids.push((await runtime.submit(i % 2 === 0 ? "a" : "b", { i }, { workerId: `w${i}` })).jobId);
  for (const i of [1, 3, 5]) await ended(runtime, ids[i] as string);
  const newestFirst = [...ids].reverse();
  const first = listJobs(runtime, { pageSize: 3 });
  expect(first.jobs.map(({ jobId }) => jobId)).toEqual(newestFirst.slice(0, 3));
  await runtime.submit("b");
  // The token is good on the next runtime, too.
  for (const reader of [runtime, jobRuntime({ log, clock }).runtime]) {
    const second = listJobs(reader, { pageSize: 3, pageToken: first.nextPageToken });
    expect(second.jobs.map(({ jobId }) => jobId)).toEqual(newestFirst.slice(3, 6));
    const third = listJobs(reader, { pageSize: 3, pageToken: second.nextPageToken });
    expect(third.jobs.map(({ jobId }) => jobId)).toEqual(newestFirst.slice(6));
    expect(third.nextPageToken).toBe("");
  }
  const idsOf = (init: Parameters<typeof listJobs>[1]) => listJobs(runtime, init).jobs.map(({ jobId }) => jobId);
  expect(idsOf({ operation: "a" })).toEqual([6, 4, 2, 0].map((i) => ids[i]));
  expect(idsOf({ states: [JobState.SUCCEEDED], operation: "b" }).slice(-3)).toEqual([5, 3, 1].map((i) => ids[i]));
  expect(listJobs(runtime, { operation: "a", pageSize: 4 }).nextPageToken).toBe("");
  const invalid = (init: Parameters<typeof listJobs>[1], field: string) =>
    expect(() => listJobs(runtime, init)).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ field }) }),
    );
  invalid({ pageSize: limits.maxJobPage + 1 }, "page_size");
  invalid({ states: [0] }, "states[0]");
  invalid({ states: [JobState.QUEUED, 99 as JobState] }, "states[1]");
  for (const pageToken of ["-", "j00", `j${"x".repeat(20)}`, "jA", "j1 ", "1"]) invalid({ pageToken }, "page_token");
});

test("a job is given with its revision, which changes whenever its answer does", async () => {
  const { runtime } = jobRuntime();
  const { calls, handler } = controlledHandler();
  runtime.operation("work", { concurrency: 1 }, handler);
  const first = await runtime.submit("work");
  const { jobId } = await runtime.submit("work", {}, { deferred: true });
  await until(() => calls.length === 1, "the first");
  const read = (ifRevisionNot = "") => runtime.getJob(create(GetJobRequestSchema, { jobId, ifRevisionNot }));
  let { revision } = read();
  const changed = () => {
    const answer = read(revision);
    const { notModified } = answer;
    if (!notModified) revision = answer.revision;
    return !notModified && answer.job !== undefined && read(revision).notModified;
  };
  expect(read(revision)).toMatchObject({ notModified: true, revision });
  await startJob(runtime, jobId);
  expect(changed()).toBe(true);
  calls[0]?.finish();
  await ended(runtime, first.jobId);
  await until(() => calls.length === 2, "its start");
  expect(changed()).toBe(true);
  await calls[1]?.job.narrate("a", "b");
  expect(changed()).toBe(true);
  await cancelJob(runtime, jobId);
  expect(changed()).toBe(true);
  calls[1]?.finish();
  await ended(runtime, jobId);
  expect(changed()).toBe(true);
  const { cursor } = read();
  const start = { case: "cursor" as const, value: cursor };
  expect(eventsIn(await framesUntil(runtime.watch({ jobId, start }), isDiagnostic("streamEnded")))).toEqual([]);
});
