import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { EventStreamService } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobService } from "../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../gen/tailrace/v1/payloads_pb.ts";
import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { Runtime } from "../../src/runtime/runtime.ts";
import { createServer } from "../../src/server/index.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";
import { type Operations, outline, readSimple, registerOperations, request, submit } from "./world.ts";

/** What everyone must hear of the end of a job. */
interface End {
  readonly state: keyof typeof states;
  readonly reason: string;
  /** Action of the narration that goes along with the end. */
  readonly action: string;
  readonly marker: RegExp;
}

const states = {
  SUCCEEDED: JobState.SUCCEEDED,
  FAILED: JobState.FAILED,
  CANCELLED: JobState.CANCELLED,
  TIMED_OUT: JobState.TIMED_OUT,
} as const;

/** Has a job end, and looks at it in every way that there is: the same must be seen before, and long after the end. */
async function expectEnd(url: string, jobId: string, { state, reason, action, marker }: End): Promise<void> {
  const simple = await readSimple(`${url}/v1/jobs/${jobId}/stream`);
  expect(outline(simple.events).slice(-2)).toEqual([action, state]);
  expect(simple.marker).toMatch(marker);
  expect(simple.events.at(-1).jobStateChanged.reason ?? "").toBe(reason);

  const messages = await (await openSse(`${url}/v1/jobs/${jobId}/events`)).rest();
  const last = JSON.parse(messages.at(-1)?.data ?? "{}");
  expect(messages.at(-1)?.event).toBe("diagnostic");
  expect(last.streamEnded.job).toEqual(simple.events.at(-1).jobStateChanged);

  const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1" });
  const watch = createClient(EventStreamService, transport).watchEvents({ jobId });
  let told: unknown;
  for await (const { frame } of watch) {
    if (frame.case !== "diagnostic" || frame.value.reason.case !== "streamEnded") continue;
    told = frame.value.reason.value.end.value;
  }
  expect(told).toMatchObject({ state: states[state], reason });
  const { job } = await createClient(JobService, transport).getJob({ jobId });
  expect(job).toMatchObject({ state: states[state], reason });
  const { body } = await request("GET", `${url}/v1/jobs/${jobId}`);
  expect(body.job.state).toBe(`JOB_STATE_${state}`);

  // Whoever comes back with the id of the end is told to stay away, and a command changes nothing any more.
  for (const [path, id] of [
    ["stream", simple.cursor],
    ["events", messages.at(-1)?.id ?? ""],
  ] as const) {
    const again = await fetch(`${url}/v1/jobs/${jobId}/${path}`, { headers: { "last-event-id": id } });
    expect(again.status).toBe(204);
  }
  const cancelled = await request("DELETE", `${url}/v1/jobs/${jobId}`);
  expect([cancelled.status, cancelled.body.job]).toEqual([200, body.job]);
  const started = await request("POST", `${url}/v1/jobs/${jobId}/start`, {});
  expect([started.status, started.body.job]).toEqual([200, body.job]);
}

describe("a job", () => {
  it.each<[string, object, End, ((url: string, jobId: string, operations: Operations) => Promise<unknown>)?]>([
    [
      "succeeds, although its words say otherwise",
      { operation: "tell", params: { texts: ["[ERROR] error: failed", "[CANCELLED]"] } },
      { state: "SUCCEEDED", reason: "", action: "execute_complete", marker: /^\[DONE\]$/ },
    ],
    [
      "fails, although its words say otherwise",
      { operation: "fail", params: { message: "[DONE]\ndata: [DONE]\r\n\r\ncompleted" } },
      {
        state: "FAILED",
        reason: "handler_failed",
        action: "execute_error",
        marker: /^\[ERROR\] .*\[DONE\] data: \[DONE\] completed/,
      },
    ],
    [
      "is cancelled while it runs",
      { operation: "hold" },
      { state: "CANCELLED", reason: "cancel_requested", action: "execute_cancelled", marker: /^\[CANCELLED\]$/ },
      async (url, jobId, { running }) => {
        await running(jobId);
        const { job } = (await request("DELETE", `${url}/v1/jobs/${jobId}?message=enough`)).body;
        // It may have ended already.
        expect(job.cancelRequested === true || job.state === "JOB_STATE_CANCELLED").toBe(true);
      },
    ],
    [
      "is cancelled before it runs, and never does",
      { operation: "hold", start: "JOB_START_DEFERRED" },
      { state: "CANCELLED", reason: "cancel_requested", action: "execute_cancelled", marker: /^\[CANCELLED\]$/ },
      async (url, jobId) => {
        const { body } = await request("DELETE", `${url}/v1/jobs/${jobId}`);
        expect(body.job.state).toBe("JOB_STATE_CANCELLED");
      },
    ],
    [
      "takes too long in all",
      { operation: "hold", timeouts: { total: "0.050s" } },
      { state: "TIMED_OUT", reason: "total_timeout", action: "execute_timeout", marker: /^\[ERROR\] \S/ },
    ],
    [
      "says nothing for too long",
      { operation: "hold", timeouts: { idle: "0.050s" } },
      { state: "TIMED_OUT", reason: "idle_timeout", action: "execute_timeout", marker: /^\[ERROR\] \S/ },
    ],
  ])("%s", async (_what, body, end, act) => {
    const { runtime, server } = await serve();
    const operations = registerOperations(runtime);
    const jobId = await submit(server.url, body);
    await act?.(server.url, jobId, operations);
    await expectEnd(server.url, jobId, end);
  });

  it("waits too long for its turn", async () => {
    const { runtime, server } = await serve();
    const { running, release } = registerOperations(runtime);
    const first = await submit(server.url, { operation: "lane" });
    await running(first);
    const jobId = await submit(server.url, { operation: "lane", timeouts: { queue: "0.050s" } });
    await expectEnd(server.url, jobId, {
      state: "TIMED_OUT",
      reason: "queue_timeout",
      action: "execute_timeout",
      marker: /^\[ERROR\] \S/,
    });
    release(first);
    expect((await readSimple(`${server.url}/v1/jobs/${first}/stream`)).marker).toBe("[DONE]");
  });

  it("is lost with its runtime, and says so once there is one again", async () => {
    const directory = scratchDirectory();
    const open = async () => {
      const log = await openEmbeddedLog({ directory, durability: "process" });
      const runtime = new Runtime({ log, onError: () => undefined });
      const operations = registerOperations(runtime);
      const server = await createServer({ runtime, listen: "127.0.0.1:0", onError: () => undefined });
      onTestFinished(async () => {
        await server.close({ graceMs: 100 });
        await runtime.close();
      });
      return { log, server, operations };
    };
    const before = await open();
    const { url } = before.server;
    const jobId = await submit(url, { operation: "hold" });
    const queued = await submit(url, {
      operation: "tell",
      params: { texts: ["at last"] },
      start: "JOB_START_DEFERRED",
    });
    await before.operations.running(jobId);
    const reader = await openSse(`${url}/v1/jobs/${jobId}/stream`);
    const came = await reader.next();
    // Nothing that the runtime would say any more is kept: to the log it is as dead as after a kill.
    await before.log.close();

    const after = await open();
    await expectEnd(after.server.url, jobId, {
      state: "FAILED",
      reason: "runtime_restarted",
      action: "execute_error",
      marker: /^\[ERROR\] \S/,
    });
    const resumed = await readSimple(`${after.server.url}/v1/jobs/${jobId}/stream`, {
      headers: { "last-event-id": came?.id as string },
    });
    expect(outline(resumed.events)).toEqual(["RUNNING", "execute", "execute_error", "FAILED"]);
    // What waited waits on, and runs when it is told.
    const late = await readSimple(`${after.server.url}/v1/jobs/${queued}/stream`);
    expect([late.marker, outline(late.events).includes("tell")]).toEqual(["[DONE]", true]);
  });
});
