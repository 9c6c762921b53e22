import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect, it } from "vitest";
import { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import { EventStreamService } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobService, JobStart } from "../../gen/tailrace/v1/job_service_pb.ts";
import { JobState, JobStateSchema } from "../../gen/tailrace/v1/payloads_pb.ts";
import { limits } from "../../src/base/limits.ts";
import { MovableClock } from "../support/movable-clock.ts";
import { serve } from "../support/serving.ts";
import { until } from "../support/until.ts";
import { hostileTexts, outline, readSimple, registerOperations, request, submit } from "./world.ts";

const told = hostileTexts.map(() => "tell");
const whole = ["QUEUED", "RUNNING", "execute", ...told, "execute_complete", "SUCCEEDED"];

function stateName(state: JobState): string {
  return JobStateSchema.values.find(({ number }) => number === state)?.localName ?? "?";
}

it("a job is submitted, starts when it is streamed, narrates itself, ends and is forgotten, over plain HTTP", async () => {
  const runtimeClock = new MovableClock();
  const { runtime, server } = await serve({ runtimeClock });
  registerOperations(runtime);

  const submitted = await request("POST", `${server.url}/v1/jobs`, {
    operation: "tell",
    params: { texts: hostileTexts },
    start: "JOB_START_DEFERRED",
    correlationId: "of the flow",
  });
  expect(submitted.status).toBe(201);
  const { jobId, streamUrl } = submitted.body;
  expect(submitted.headers.get("location")).toBe(`/v1/jobs/${jobId}`);
  expect(streamUrl).toBe(`/v1/jobs/${jobId}/stream`);
  expect(submitted.body.job).toMatchObject({ jobId, operation: "tell", state: "JOB_STATE_QUEUED", deferred: true });

  const stream = await readSimple(server.url + streamUrl);
  expect(stream.reader.headers).toMatchObject({
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
  });
  expect(outline(stream.events)).toEqual(whole);
  expect(stream.events.filter(({ narration }) => narration?.action === "tell").map((e) => e.narration.message)).toEqual(
    hostileTexts,
  );
  expect(new Set(stream.events.map((event) => [event.jobId, event.correlationId].join()))).toEqual(
    new Set([`${jobId},of the flow`]),
  );
  expect(stream.marker).toBe("[DONE]");
  const lines = stream.reader.text.split(/\r\n|\r|\n/);
  expect(lines.filter((line) => line.startsWith("data: [") || line.startsWith("data:["))).toEqual(["data: [DONE]"]);

  // The id of the marker stops an EventSource.
  const again = await fetch(server.url + streamUrl, { headers: { "last-event-id": stream.cursor } });
  expect([again.status, await again.text()]).toEqual([204, ""]);
  expect((await readSimple(server.url + streamUrl)).events).toEqual(stream.events);

  const job = await request("GET", `${server.url}/v1/jobs/${jobId}`);
  expect(job.body.job).toMatchObject({ state: "JOB_STATE_SUCCEEDED", events: `${whole.length}` });
  const listed = await request("GET", `${server.url}/v1/jobs?states=succeeded&operation=tell`);
  expect(listed.body.jobs.map((one: { jobId: string }) => one.jobId)).toEqual([jobId]);

  runtimeClock.advance(limits.jobMemoryMs + 60_000);
  await until(() => runtime.log.job(jobId) === undefined, "the job to be forgotten");
  for (const path of ["", "/events", "/stream"]) {
    const gone = await request("GET", `${server.url}/v1/jobs/${jobId}${path}`);
    expect([gone.status, gone.body.diagnostic.jobNotFound]).toEqual([404, { jobId }]);
  }
  expect((await request("GET", `${server.url}/v1/jobs`)).body.jobs).toBeUndefined();
});

it("the same over Connect, with the generated client", async () => {
  const { runtime, server } = await serve();
  registerOperations(runtime);
  const transport = createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" });
  const jobs = createClient(JobService, transport);
  const events = createClient(EventStreamService, transport);

  const { jobId, cursor, job } = await jobs.submitJob({
    operation: "tell",
    params: { texts: [...hostileTexts] },
    start: JobStart.DEFERRED,
  });
  expect(job).toMatchObject({ state: JobState.QUEUED, deferred: true });

  const seen: { cursor: string; kind: string; said: string | undefined }[] = [];
  let end: JobState | undefined;
  let started = false;
  for await (const { frame } of events.watchEvents({
    jobId,
    start: { case: "cursor", value: cursor },
  })) {
    if (frame.case === "events") {
      for (const event of frame.value.events) {
        const { payload } = event;
        expect(event.jobId).toBe(jobId);
        if (payload.case === "narration") {
          seen.push({ cursor: event.cursor, kind: payload.value.action, said: payload.value.message });
        } else if (payload.case === "jobStateChanged") {
          seen.push({ cursor: event.cursor, kind: stateName(payload.value.state), said: undefined });
        }
      }
    }
    if (frame.case !== "diagnostic") continue;
    const { reason } = frame.value;
    if (reason.case === "caughtUp" && !started) {
      // A watch starts nothing, however long it waits.
      started = true;
      expect((await jobs.getJob({ jobId })).job).toMatchObject({ state: JobState.QUEUED, deferred: true });
      await jobs.startJob({ jobId });
    }
    if (reason.case === "streamEnded" && reason.value.end.case === "job") end = reason.value.end.value.state;
  }
  expect(end).toBe(JobState.SUCCEEDED);
  expect(seen.map(({ kind }) => kind)).toEqual(whole);
  expect(seen.filter(({ kind }) => kind === "tell").map(({ said }) => said)).toEqual(hostileTexts);
  const { jobs: listed } = await jobs.listJobs({ states: [JobState.SUCCEEDED] });
  expect(listed.map((one) => one.jobId)).toEqual([jobId]);

  const page = await events.listEvents({ jobId, kinds: [EventKind.NARRATION] });
  expect(page.events).toHaveLength(told.length + 2);
});

it("a caller who may only observe never starts anything", async () => {
  const { runtime, server: commands } = await serve();
  registerOperations(runtime);
  const { server: observation } = await serve({ runtime, services: ["observe"] });
  const jobId = await submit(commands.url, {
    operation: "tell",
    params: { texts: ["x"] },
    start: "JOB_START_DEFERRED",
  });
  const stillDeferred = async () => {
    const { job } = (await request("GET", `${commands.url}/v1/jobs/${jobId}`)).body;
    expect(job).toMatchObject({ state: "JOB_STATE_QUEUED", deferred: true });
  };
  const observing = readSimple(`${observation.url}/v1/jobs/${jobId}/stream`);
  const watching = readSimple(`${observation.url}/v1/jobs/${jobId}/events`);
  await until(() => runtime.watches === 2, "both to watch");
  await stillDeferred();
  for (const path of ["start", "events"]) {
    expect((await request("POST", `${observation.url}/v1/jobs/${jobId}/${path}`, {})).status).toBeGreaterThan(403);
  }
  // A page of an origin that may read is still no one who may submit, if it is of another site.
  const { server: open } = await serve({ runtime, allowedOrigins: ["https://console.example"] });
  const origin = "https://console.example";
  const pages: Record<string, string>[] = [
    { origin, "sec-fetch-site": "cross-site" },
    { origin, "sec-fetch-site": "same-site" },
    { origin },
    // And what a browser loads before anyone asked for it is no wish to run anything.
    { "sec-fetch-site": "same-origin", "sec-purpose": "prefetch" },
  ];
  for (const headers of pages) void readSimple(`${open.url}/v1/jobs/${jobId}/stream`, { headers });
  await until(() => runtime.watches === 2 + pages.length, "the pages to watch");
  await stillDeferred();
  // Nor is a request that is refused.
  const refused = await request("GET", `${commands.url}/v1/jobs/${jobId}/stream?cursor=nonsense`);
  expect([refused.status, refused.body.diagnostic.cursorMalformed]).toEqual([400, expect.anything()]);
  expect((await request("GET", `${commands.url}/v1/jobs/${jobId}/stream?start_at=latest`)).status).toBe(400);
  await stillDeferred();

  const own = await readSimple(`${commands.url}/v1/jobs/${jobId}/stream`, {
    headers: { "sec-fetch-site": "same-origin", origin: commands.url },
  });
  expect(own.marker).toBe("[DONE]");
  expect((await observing).events).toEqual(own.events);
  expect((await watching).events).toEqual([]);
});
