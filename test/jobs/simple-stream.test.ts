import { EventSource as NpmEventSource } from "eventsource";
import { describe, expect, it, onTestFinished } from "vitest";
import { ManualClock } from "../../src/base/clock.ts";
import type { RetentionLimits } from "../../src/base/limits.ts";
import { startNginx } from "../support/nginx.ts";
import { type Serving, serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";
import { until } from "../support/until.ts";
import {
  follow,
  hostileTexts,
  outline,
  readSimple,
  registerOperations,
  request,
  type SimpleView,
  submit,
} from "./world.ts";

/** A server with operations, whose log keeps no more than this. */
async function serveOperations(retention: Partial<RetentionLimits>, clock?: ManualClock): Promise<Serving> {
  const serving = await serve({ retention, ...(clock === undefined ? {} : { runtimeClock: clock }) });
  registerOperations(serving.runtime);
  return serving;
}

describe("the simple stream of a job", () => {
  it("keeps still connections alive with comments", async () => {
    const { runtime, server } = await serve();
    const { release } = registerOperations(runtime);
    const jobId = await submit(server.url, { operation: "hold" });
    const reader = await openSse(`${server.url}/v1/jobs/${jobId}/stream?heartbeat=1s`);
    const view: SimpleView = { reader, events: [], marker: undefined, cursor: "" };
    await until(() => reader.text.includes(": bookmark\n\n"), "a keep-alive");
    release(jobId);
    await follow(view);
    expect(view.marker).toBe("[DONE]");
    expect(outline(view.events)).toEqual(["QUEUED", "RUNNING", "execute", "execute_complete", "SUCCEEDED"]);
  });

  it.each(["http1", "http2"] as const)("goes on from ?cursor=, which Last-Event-ID beats, over %s", async (version) => {
    const { runtime, server } = await serve();
    registerOperations(runtime);
    const jobId = await submit(server.url, { operation: "tell", params: { texts: ["a", "b", "c"] } });
    const url = `${server.url}/v1/jobs/${jobId}/stream`;
    const { events } = await readSimple(url, { version });
    for (let i = 0; i < events.length; i++) {
      const { cursor } = events[i];
      expect((await readSimple(`${url}?cursor=${cursor}`, { version })).events).toEqual(events.slice(i + 1));
      const headers = { "last-event-id": cursor };
      const beaten = `${url}?cursor=${events[0].cursor}`;
      expect((await readSimple(beaten, { headers, version })).events).toEqual(events.slice(i + 1));
    }
  });

  it.each([
    ["tell", { texts: Array.from({ length: 20 }, (_, i) => `${i}`) }, "[DONE]"],
    ["fail", { message: "the disk is gone" }, "[ERROR] the disk is gone"],
  ])("of %s goes on after a gap where events were removed, to the job's own end", async (operation, params, marker) => {
    const { server, log } = await serveOperations({ workerEvents: 3 });
    const job = await request("POST", `${server.url}/v1/jobs`, { operation, params });
    const { cursor, jobId } = job.body;
    const url = `${server.url}/v1/jobs/${jobId}/stream`;
    await readSimple(url);
    await until(() => log.job(jobId)?.retainedEvents === 3, "the first events to be removed");
    const whole = await readSimple(url);
    expect([whole.events.length, whole.marker]).toEqual([3, marker]);
    for (const [query, headers] of [
      ["", { "last-event-id": cursor }],
      [`?cursor=${cursor}`, {}],
    ] as const) {
      const reader = await openSse(url + query, { headers });
      const [gap, ...messages] = await reader.rest();
      expect([reader.status, gap?.event]).toEqual([200, "diagnostic"]);
      const lostEvents = String(operation === "tell" ? 22 : 2);
      expect(JSON.parse(gap?.data ?? "").gap).toMatchObject({ fromCursor: cursor, lostEvents, lostExact: true });
      expect(messages.every(({ event }) => event === undefined)).toBe(true);
      expect(messages.map(({ data }) => data)).toEqual([...whole.events.map((event) => JSON.stringify(event)), marker]);
      // Who leaves after the gap has it behind him.
      const rest = await readSimple(`${url}?cursor=${gap?.id}`);
      expect([rest.reader.text.includes("diagnostic"), rest.events]).toEqual([false, whole.events]);
    }
  });

  it("says how a job ended of which nothing is left", async () => {
    const clock = new ManualClock();
    const { server, runtime, log } = await serveOperations({ ageMs: 60_000 }, clock);
    const job = await request("POST", `${server.url}/v1/jobs`, { operation: "fail", params: { message: "no disk" } });
    const { cursor, jobId } = job.body;
    const url = `${server.url}/v1/jobs/${jobId}/stream`;
    expect((await readSimple(url)).marker).toBe("[ERROR] no disk");
    clock.advance(3_600_000);
    await runtime.worker("w").stdout("removes what is old");
    await until(() => log.job(jobId)?.retainedEvents === 0, "the events to be removed");
    const { events, marker, reader } = await readSimple(`${url}?cursor=${cursor}`);
    expect([events, marker]).toEqual([[], "[ERROR] no disk"]);
    expect(reader.text).toContain("event: diagnostic\n");
  });

  it("shows an EventSource no gap but the lines after it", async () => {
    const { server, log } = await serveOperations({ workerEvents: 3 });
    const job = await request("POST", `${server.url}/v1/jobs`, {
      operation: "tell",
      params: { texts: ["a", "b", "c"] },
    });
    const { cursor, jobId } = job.body;
    const url = `${server.url}/v1/jobs/${jobId}/stream`;
    expect((await readSimple(url)).marker).toBe("[DONE]");
    await until(() => log.job(jobId)?.retainedEvents === 3, "the first events to be removed");
    const source = new NpmEventSource(`${url}?cursor=${cursor}`);
    onTestFinished(() => source.close());
    const data: string[] = [];
    source.addEventListener("message", (event) => data.push(event.data));
    await until(() => source.readyState === NpmEventSource.CLOSED, "the EventSource to stop");
    expect([data.length, data.at(-1)]).toEqual([4, "[DONE]"]);
  });

  it("ends without a marker when the server closes: the job goes on, and so can its reader", async () => {
    const { runtime, server } = await serve();
    const { release, running } = registerOperations(runtime);
    const jobId = await submit(server.url, { operation: "hold" });
    await running(jobId);
    const reader = await openSse(`${server.url}/v1/jobs/${jobId}/stream`);
    const view: SimpleView = { reader, events: [], marker: undefined, cursor: "" };
    await follow(view, () => view.events.length === 3);
    await Promise.all([server.close({ graceMs: 600_000 }), follow(view)]);
    expect(view.marker).toBeUndefined();
    expect(reader.text).toContain("\n: serverClosing\nretry: 1000\n");
    expect(reader.failure).toBeUndefined();
    release(jobId);
  });

  it("shows an EventSource the job once, and stops it", async () => {
    const { runtime, server } = await serve();
    registerOperations(runtime);
    const jobId = await submit(server.url, {
      operation: "tell",
      params: { texts: hostileTexts },
      start: "JOB_START_DEFERRED",
    });
    const source = new NpmEventSource(`${server.url}/v1/jobs/${jobId}/stream`);
    onTestFinished(() => source.close());
    const data: string[] = [];
    source.addEventListener("message", (event) => data.push(event.data));
    // It comes back after the end, with the id of the marker, and hears 204.
    await until(() => source.readyState === NpmEventSource.CLOSED, "the EventSource to stop");
    expect(data.filter((line) => line.startsWith("["))).toEqual(["[DONE]"]);
    const texts = data.slice(0, -1).map((line) => JSON.parse(line).narration);
    expect(texts.filter((said) => said?.action === "tell").map((said) => said.message)).toEqual(hostileTexts);
  });

  it("passes nginx with its default settings as it comes", async () => {
    const { runtime, server } = await serve();
    const { release, running } = registerOperations(runtime);
    const nginx = await startNginx(server.url);
    const jobId = await submit(nginx.url, { operation: "hold", start: "JOB_START_DEFERRED" });
    const reader = await openSse(`${nginx.url}/v1/jobs/${jobId}/stream`);
    const view: SimpleView = { reader, events: [], marker: undefined, cursor: "" };
    const job = await running(jobId);
    for (const text of hostileTexts) {
      const { cursor } = await job.narrate("tell", text);
      // Each is here before the next is said: nothing waits in a buffer.
      await follow(view, () => view.cursor === cursor || view.marker !== undefined);
      expect(view.events.at(-1).narration.message).toBe(text);
    }
    release(jobId);
    await follow(view);
    expect([view.marker, reader.failure]).toEqual(["[DONE]", undefined]);
  });
});
