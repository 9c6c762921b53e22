import { describe, expect, it, onTestFinished } from "vitest";
import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import * as forBrowsers from "../../src/client/browser.ts";
import { createJobs, type JobWatch, type NodeSubmitAndWatchOptions, submitAndWatch } from "../../src/client/index.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import { type JobContext, JobFailure } from "../../src/runtime/jobs/operation.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { serve } from "../support/serving.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";

const backoff = { initialMs: 5, maxMs: 20 };

function submitted(options: NodeSubmitAndWatchOptions): JobWatch {
  const run = submitAndWatch({ backoff, ...options });
  onTestFinished(() => run.close());
  return run;
}

async function messagesOf(events: AsyncIterable<Event>): Promise<string[]> {
  const messages: string[] = [];
  for await (const { payload } of events) {
    if (payload.case === "narration" && payload.value.action === "say") messages.push(payload.value.message);
  }
  return messages;
}

/** An operation `count` that says the numbers up to `to`, and one `wait` that goes on until it is told to stop. */
function declare(runtime: Runtime): { readonly runs: number; readonly waiting: JobContext[] } {
  let runs = 0;
  const waiting: JobContext[] = [];
  runtime.operation("count", {}, async ({ to = 3, exitCode = 0 }, job) => {
    runs++;
    for (let number = 1; number <= Number(to); number++) await job.narrate("say", String(number));
    if (exitCode !== 0) throw new JobFailure(`exit code ${exitCode}`, { exitCode: Number(exitCode) });
  });
  runtime.operation("wait", {}, async (_, job) => {
    runs++;
    waiting.push(job);
    await new Promise((resolve) => job.signal.addEventListener("abort", resolve, { once: true }));
  });
  return {
    waiting,
    get runs() {
      return runs;
    },
  };
}

describe("submitAndWatch", () => {
  it("gives every event from the first to the end, and how the job ended", async () => {
    const { runtime, server } = await serve();
    declare(runtime);
    const run = submitted({ baseUrl: server.url, operation: "count", params: { to: 5 }, workerId: "w" });
    const cases: string[] = [];
    for await (const event of run) {
      expect([event.jobId, event.workerId]).toEqual([(await run.submitted).jobId, "w"]);
      cases.push(event.payload.case ?? "");
    }
    expect(cases.at(0)).toBe("jobStateChanged");
    expect(cases.filter((name) => name === "narration").length).toBeGreaterThanOrEqual(5);
    expect(cases.at(-1)).toBe("jobStateChanged");
    expect(await run.outcome).toMatchObject({ state: "succeeded", exitCode: undefined });
  });

  it("says how the job ended also where nobody iterates, and after a loop that was left", async () => {
    const { runtime, server } = await serve();
    declare(runtime);
    const options = { baseUrl: server.url, operation: "count", params: { exitCode: 7 } };
    const quiet = submitted(options);
    const end = { state: "failed", reason: "exit_code", message: "exit code 7", exitCode: 7 };
    expect(await quiet.outcome).toEqual(end);
    expect(await messagesOf(quiet)).toEqual(["1", "2", "3"]);
    const left = submitted(options);
    for await (const _ of left) break;
    expect(await left.outcome).toEqual(end);
    await expect(messagesOf(left)).rejects.toMatchObject({ reason: "invalid_request" });
  });

  it("makes one job over lost answers and cut streams, and sees every event once", async () => {
    const { runtime, server } = await serve();
    const operations = declare(runtime);
    const proxy = await startTcpProxy(server.address.port);
    let cuts = 0;
    const run = submitted({
      baseUrl: proxy.url,
      operation: "count",
      params: { to: 300 },
      onStatus(status) {
        // The first answer is lost on its way back; then the stream breaks again and again.
        if (status.kind === "reconnecting" && ++cuts < 6) proxy.cutAfter(cuts * 2_001);
      },
    });
    proxy.cutAfter(1);
    expect(await messagesOf(run)).toEqual(Array.from({ length: 300 }, (_, index) => String(index + 1)));
    expect(cuts).toBeGreaterThanOrEqual(6);
    expect(operations.runs).toBe(1);
    expect(await run.outcome).toMatchObject({ state: "succeeded" });
  });

  it("goes on over a restart of the server, which fails what was running", async () => {
    const log = new MemoryLog();
    onTestFinished(() => log.close());
    const first = await serve({ log });
    const operations = declare(first.runtime);
    const proxy = await startTcpProxy(first.server.address.port);
    const run = submitted({ baseUrl: proxy.url, operation: "wait" });
    const messages = messagesOf(run);
    await until(() => operations.waiting.length === 1, "the job to run");
    await operations.waiting[0]?.narrate("say", "before");
    // As if the process had been killed: nobody tells the log.
    proxy.refuse();
    proxy.cut();
    await first.server.close({ graceMs: 0 });
    const second = await serve({ log });
    proxy.target(second.server.address.port);
    proxy.heal();
    expect(await run.outcome).toMatchObject({ state: "failed", reason: "runtime_restarted" });
    expect(await messages).toEqual(["before"]);
  });

  it("cancels over lost connections, and leaving cancels nothing", async () => {
    const { runtime, server } = await serve();
    const operations = declare(runtime);
    const proxy = await startTcpProxy(server.address.port);
    const run = submitted({ baseUrl: proxy.url, operation: "wait" });
    const { jobId } = await run.submitted;
    await until(() => operations.waiting.length === 1, "the job to run");
    const other = submitAndWatch({ baseUrl: server.url, operation: "wait" });
    for await (const _ of other) break;
    await other.close();
    proxy.refuse();
    proxy.cut();
    const cancelled = run.cancel("not needed");
    await until(() => proxy.accepted > 3, "tries that fail");
    proxy.heal();
    expect(await cancelled).toMatchObject({ jobId });
    expect(await run.outcome).toMatchObject({ state: "cancelled", reason: "cancel_requested" });
    const jobs = createJobs({ baseUrl: server.url });
    const left = await other.submitted;
    expect((await jobs.get(left.jobId)).job).toMatchObject({ cancelRequested: false });
    await jobs.cancel(left.jobId);
    jobs.close();
  });

  it("rejects what the server refuses, by the reason, everywhere that one waits", async () => {
    const { server } = await serve();
    const run = submitted({ baseUrl: server.url, operation: "nothing" });
    const refused = { reason: "invalid_request", details: { field: "operation" } };
    await expect(run.submitted).rejects.toMatchObject(refused);
    await expect(run.outcome).rejects.toMatchObject(refused);
    await expect(messagesOf(run)).rejects.toMatchObject(refused);
    await expect(run.cancel()).rejects.toMatchObject(refused);
  });

  it("ends with close or its signal, without an error in the loop", async () => {
    const { runtime, server } = await serve();
    const operations = declare(runtime);
    const abort = new AbortController();
    const run = submitted({ baseUrl: server.url, operation: "wait", signal: abort.signal });
    const messages = messagesOf(run);
    await until(() => operations.waiting.length === 1, "the job to run");
    const outcome = run.outcome;
    abort.abort();
    expect(await messages).toEqual([]);
    await expect(outcome).rejects.toMatchObject({ name: "AbortError" });
    await run.close();
  });

  it("gives up where it is told to", async () => {
    const proxy = await startTcpProxy(1);
    proxy.refuse();
    const run = submitted({ baseUrl: proxy.url, operation: "x", backoff: { ...backoff, maxAttempts: 3 } });
    await expect(run.submitted).rejects.toMatchObject({ reason: "connection_failed" });
    expect(proxy.accepted).toBe(3);
  });

  it("is there for browsers, over fetch", async () => {
    const { runtime, server } = await serve();
    declare(runtime);
    const run = forBrowsers.submitAndWatch({ baseUrl: server.url, operation: "count", params: { to: 2 } });
    expect(await messagesOf(run)).toEqual(["1", "2"]);
    expect(await run.outcome).toMatchObject({ state: "succeeded" });
    await run.close();
  });
});

describe("createJobs", () => {
  it("submits, starts, gets, lists and cancels", async () => {
    const { runtime, server } = await serve();
    const operations = declare(runtime);
    const jobs = createJobs({ baseUrl: server.url });
    onTestFinished(() => jobs.close());
    const options = { deferred: true, idempotencyKey: "k", workerId: "w", correlationId: "c" };
    const timeouts = { totalMs: 60_000, idleMs: 50_000, queueMs: 40_000 };
    const first = await jobs.submit("wait", { a: [1, null] }, { ...options, timeouts });
    expect(first).toMatchObject({ duplicate: false, job: { deferred: true, params: { a: [1, null] }, workerId: "w" } });
    expect(first.job.timeouts).toMatchObject({
      total: { seconds: 60n },
      idle: { seconds: 50n },
      queue: { seconds: 40n },
    });
    expect(await jobs.submit("wait", { a: [1, null] }, { ...options, timeouts })).toMatchObject({
      duplicate: true,
      jobId: first.jobId,
    });
    expect(operations.runs).toBe(0);
    await jobs.start(first.jobId);
    await until(() => operations.runs === 1, "the job to run");
    const second = await jobs.submit("count");
    const run = submitAndWatch({ baseUrl: server.url, operation: "count" });
    await run.outcome;
    await run.close();

    const listed = async (options: Parameters<typeof jobs.list>[0]) => {
      const ids: string[] = [];
      for await (const { jobId } of jobs.list(options)) ids.push(jobId);
      return ids;
    };
    expect(await listed({})).toHaveLength(3);
    expect(await listed({ operation: "wait" })).toEqual([first.jobId]);
    expect(await listed({ states: ["running", "queued"] })).toEqual([first.jobId]);
    expect(await listed({ states: ["succeeded"] })).toContain(second.jobId);
    await expect(listed({ states: ["done" as never] })).rejects.toMatchObject({ details: { field: "states[0]" } });

    await jobs.cancel(first.jobId, { message: "enough" });
    const answer = await jobs.get(first.jobId);
    expect(answer.job.jobId).toBe(first.jobId);
    expect(answer.cursor).not.toBe("");
    await expect(jobs.get("none")).rejects.toMatchObject({ reason: "job_not_found" });
    await expect(jobs.submit("count", {}, { timeouts: { totalMs: 0 } })).rejects.toMatchObject({
      details: { field: "timeouts.totalMs" },
    });
  });
});
