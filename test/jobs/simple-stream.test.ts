import { EventSource as NpmEventSource } from "eventsource";
import { describe, expect, it, onTestFinished } from "vitest";
import { startNginx } from "../support/nginx.ts";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";
import { until } from "../support/until.ts";
import { follow, hostileTexts, outline, readSimple, registerOperations, type SimpleView, submit } from "./world.ts";

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
