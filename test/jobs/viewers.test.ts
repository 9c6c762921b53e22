import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { EventStreamService, ListEventsRequestSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";
import { follow, readSimple, registerOperations, type SimpleView, submit } from "./world.ts";

/** Sequences of a job's events, in the order that a viewer saw them, and how it saw the end. */
interface Seen {
  readonly sequences: string[];
  readonly end: string | undefined;
}

async function overSimpleStream(url: string, jobId: string): Promise<Seen> {
  const { events, marker } = await readSimple(`${url}/v1/jobs/${jobId}/stream`);
  return { sequences: events.map(({ sequence }) => sequence), end: marker };
}

async function overSse(url: string, jobId: string): Promise<Seen> {
  const messages = await (await openSse(`${url}/v1/jobs/${jobId}/events`)).rest();
  const events = messages.filter(({ event }) => !["opened", "bookmark", "diagnostic"].includes(event as string));
  const last = JSON.parse(messages.at(-1)?.data ?? "{}");
  return {
    sequences: events.map(({ data }) => JSON.parse(data).sequence),
    end: last.streamEnded?.job.state === "JOB_STATE_SUCCEEDED" ? "[DONE]" : undefined,
  };
}

async function overConnect(url: string, jobId: string): Promise<Seen> {
  const client = createClient(EventStreamService, createConnectTransport({ baseUrl: url, httpVersion: "1.1" }));
  const sequences: string[] = [];
  let end: string | undefined;
  for await (const { frame } of client.watchEvents({ jobId })) {
    if (frame.case === "events") sequences.push(...frame.value.events.map(({ sequence }) => String(sequence)));
    if (frame.case === "diagnostic" && frame.value.reason.case === "streamEnded") end = "[DONE]";
  }
  return { sequences, end };
}

const emptyList = create(ListEventsRequestSchema, {});

const ways = [overSimpleStream, overSse, overConnect] as const;

describe("ten viewers of one job", () => {
  it("each see every event once, whether they come before, during or after it", async () => {
    const { runtime, server } = await serve();
    const { running, release } = registerOperations(runtime);
    const jobId = await submit(server.url, { operation: "hold", start: "JOB_START_DEFERRED" });
    let next = 0;
    const join = (count: number): Promise<Seen>[] =>
      Array.from({ length: count }, () => (ways[next++ % ways.length] as (typeof ways)[number])(server.url, jobId));

    const before = join(4);
    const job = await running(jobId);
    for (let i = 0; i < 50; i++) await job.narrate("step", `${i}`);
    const during = join(3);
    for (let i = 50; i < 100; i++) await job.narrate("step", `${i}`);
    // Some of them leave: nobody else notices, the job least of all.
    const leaver = await openSse(`${server.url}/v1/jobs/${jobId}/stream`);
    await leaver.next();
    leaver.abandon();
    release(jobId);
    const after = (await Promise.all([...before, ...during])).concat(await Promise.all(join(3)));

    const { events } = await runtime.listEvents({ ...emptyList, jobId });
    const all = events.map(({ sequence }) => String(sequence));
    expect(all).toHaveLength(100 + 5);
    expect(after).toHaveLength(10);
    for (const seen of after) expect(seen).toEqual({ sequences: all, end: "[DONE]" });
  });
});

describe("a viewer that is cut off", () => {
  it.each(["stream", "events"])("five times sees every event of /%s once", async (route) => {
    const { runtime, server } = await serve();
    const { running, release } = registerOperations(runtime);
    const jobId = await submit(server.url, { operation: "hold" });
    const job = await running(jobId);
    const proxy = await startTcpProxy(server.address.port);
    const view: SimpleView = {
      reader: await openSse(`${proxy.url}/healthz`),
      events: [],
      marker: undefined,
      cursor: "",
    };
    const reconnect = async (): Promise<SimpleView> => {
      const headers: Record<string, string> = view.cursor === "" ? {} : { "last-event-id": view.cursor };
      const reader = await openSse(`${proxy.url}/v1/jobs/${jobId}/${route}`, { headers });
      return Object.assign(view, { reader });
    };
    const narrations = (): number => view.events.filter(({ narration }) => narration?.action === "step").length;

    let said = 0;
    await reconnect();
    for (let cut = 0; cut < 5; cut++) {
      // Events flow, the connection breaks wherever it happens to, and more is said while nobody looks.
      proxy.cutAfter(200 + 331 * cut);
      const following = route === "stream" ? follow(view) : followNamed(view);
      for (let i = 0; i < 20; i++) await job.narrate("step", `${said++}`);
      await following;
      for (let i = 0; i < 5; i++) await job.narrate("step", `${said++}`);
      await reconnect();
    }
    release(jobId);
    await (route === "stream" ? follow(view) : followNamed(view));
    expect(narrations()).toBe(said);
    expect(view.events.map(({ narration }) => narration?.message).filter((text) => /^\d+$/.test(text))).toEqual(
      Array.from({ length: said }, (_, i) => `${i}`),
    );
    expect(view.marker).toBe("[DONE]");
    await reconnect();
    expect(view.reader.status).toBe(204);
    await until(() => runtime.watches === 0, "its watches to end");
  });
});

/** Goes on with the full stream of a job. */
async function followNamed(view: SimpleView): Promise<void> {
  for (let message = await view.reader.next(); message !== undefined; message = await view.reader.next()) {
    if (message.id !== undefined) view.cursor = message.id;
    const data = JSON.parse(message.data);
    if (message.event === "diagnostic" && data.streamEnded !== undefined) view.marker = "[DONE]";
    else if (data.sequence !== undefined) view.events.push(data);
  }
}
