import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { type StreamDiagnostic, StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { ListEventsRequestSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { GetJobRequestSchema, JobService, JobStart } from "../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../gen/tailrace/v1/payloads_pb.ts";
import { PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { registerOperations } from "../jobs/world.ts";
import { serveRpc, transports, until } from "./serving.ts";

/** The error of a call, and the reason in its detail. */
async function refusal(call: Promise<unknown>): Promise<{ code: Code; reason: StreamDiagnostic["reason"] }> {
  const error = ConnectError.from(
    await call.then(
      () => undefined,
      (cause: unknown) => cause,
    ),
  );
  const [diagnostic] = error.findDetails(StreamDiagnosticSchema);
  if (diagnostic === undefined) throw new Error(`no diagnostic: ${error.message}`);
  return { code: error.code, reason: diagnostic.reason };
}

describe.each(transports)("JobService over %s", (_name, transportTo) => {
  it("submits, starts, gives, lists and cancels jobs", async () => {
    const serving = await serveRpc();
    const { running, release } = registerOperations(serving.runtime);
    const client = createClient(JobService, transportTo(serving));

    const params = { text: "ümläut\n", list: [1, null, { deep: true }] };
    const request = { operation: "hold", params, start: JobStart.DEFERRED, idempotencyKey: "k", workerId: "w" };
    const { jobId, cursor, streamUrl, job, duplicate } = await client.submitJob(request);
    expect([streamUrl, duplicate]).toEqual([`/v1/jobs/${jobId}/stream`, false]);
    expect(cursor).not.toBe("");
    expect(job).toMatchObject({
      jobId,
      operation: "hold",
      params,
      state: JobState.QUEUED,
      deferred: true,
      workerId: "w",
    });
    expect(await client.submitJob(request)).toMatchObject({ jobId, duplicate: true });

    const { job: started } = await client.startJob({ jobId });
    expect(started?.deferred).toBe(false);
    await running(jobId);
    const first = await client.getJob({ jobId });
    expect(first.job).toMatchObject({ state: JobState.RUNNING, params });
    const same = await client.getJob({ jobId, ifRevisionNot: first.revision });
    expect([same.notModified, same.job, same.cursor]).toEqual([true, undefined, first.cursor]);

    const second = await client.submitJob({ operation: "hold" });
    await running(second.jobId);
    await client.cancelJob({ jobId: second.jobId, message: "enough" });
    const stateOf = async (id: string) => (await client.getJob({ jobId: id })).job;
    let ended = await stateOf(second.jobId);
    for (; ended?.state === JobState.RUNNING; ended = await stateOf(second.jobId));
    expect(ended).toMatchObject({ state: JobState.CANCELLED, reason: "cancel_requested" });

    const page = await client.listJobs({ pageSize: 1 });
    expect(page.jobs.map((one) => one.jobId)).toEqual([second.jobId]);
    const rest = await client.listJobs({ pageSize: 1, pageToken: page.nextPageToken });
    expect([rest.jobs.map((one) => one.jobId), rest.nextPageToken]).toEqual([[jobId], ""]);
    const cancelled = await client.listJobs({ states: [JobState.CANCELLED], operation: "hold" });
    expect(cancelled.jobs.map((one) => one.jobId)).toEqual([second.jobId]);
    release(jobId);
  });

  it("says what is wrong, as every other service does", async () => {
    const serving = await serveRpc();
    registerOperations(serving.runtime);
    const client = createClient(JobService, transportTo(serving));
    for (const call of [client.getJob, client.startJob, client.cancelJob]) {
      expect(await refusal(call({ jobId: "none" }))).toMatchObject({
        code: Code.NotFound,
        reason: { case: "jobNotFound", value: { jobId: "none" } },
      });
    }
    for (const [call, field] of [
      [client.submitJob({}), "operation"],
      [client.submitJob({ operation: "unheard of" }), "operation"],
      [client.submitJob({ operation: "tell", start: 9 as JobStart }), "start"],
      [client.submitJob({ operation: "tell", timeouts: { idle: { seconds: -1n } } }), "timeouts.idle"],
      [client.listJobs({ pageSize: 5_000 }), "page_size"],
      [client.listJobs({ pageToken: "!" }), "page_token"],
      [client.listJobs({ states: [77 as JobState] }), "states[0]"],
    ] as const) {
      expect(await refusal(call)).toMatchObject({
        code: Code.InvalidArgument,
        reason: { case: "invalidRequest", value: { field } },
      });
    }
  });
});

describe.each(transports)("the token of a job over %s", (_name, transportTo) => {
  it("publishes for its job alone, while that runs", async () => {
    const serving = await serveRpc();
    const { running, release } = registerOperations(serving.runtime);
    const { runtime } = serving;
    const publisher = createClient(PublisherService, transportTo(serving));
    const { jobId } = await runtime.submit("hold", {}, { workerId: "w", correlationId: "c" });
    const { jobId: other } = await runtime.submit("hold");
    const environment = (await running(jobId)).environment();
    const headers = { authorization: `Bearer ${environment["TAILRACE_JOB_TOKEN"]}` };
    const say = (ids: { jobId?: string; workerId?: string; correlationId?: string }, sent = headers) =>
      publisher.publishEvents(
        { events: [{ ...ids, payload: { case: "narration", value: { action: "say", message: "from outside" } } }] },
        { headers: sent },
      );

    const { cursor } = await say({});
    const events = (await runtime.listEvents(listOf(jobId))).events;
    expect(events.at(-1)).toMatchObject({ cursor, jobId, workerId: "w", correlationId: "c" });
    await say({ jobId, workerId: "w", correlationId: "c" });

    const denied = { code: Code.PermissionDenied, reason: { case: "accessDenied" } };
    expect(await refusal(say({ jobId: other }))).toMatchObject(denied);
    expect(await refusal(say({ workerId: "another" }))).toMatchObject(denied);
    expect(await refusal(say({}, { authorization: "Bearer tj_nobody's" }))).toMatchObject(denied);
    release(jobId);
    await until(() => runtime.getJob(getOf(jobId)).job?.state === JobState.SUCCEEDED, "the job to end");
    expect(await refusal(say({}))).toMatchObject(denied);
    release(other);
  });
});

function listOf(jobId: string) {
  return create(ListEventsRequestSchema, { jobId });
}

function getOf(jobId: string) {
  return create(GetJobRequestSchema, { jobId });
}
