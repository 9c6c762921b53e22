import { fromJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { BookmarkSchema, StreamOpenedSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { WorkerOutcome } from "../../gen/tailrace/v1/payloads_pb.ts";
import { MovableClock } from "../support/movable-clock.ts";
import { serve } from "../support/serving.ts";
import { openSse, type SseReader } from "../support/sse-reader.ts";

const versions = ["http1", "http2"] as const;

function texts(messages: readonly { data: string }[]): string[] {
  return messages.map(({ data }) => {
    const event = fromJson(EventSchema, JSON.parse(data));
    if (event.payload.case !== "output") throw new Error(`not output: ${data}`);
    return Buffer.from(event.payload.value.data).toString();
  });
}

async function readTexts(reader: SseReader, count: number): Promise<string[]> {
  return texts(await reader.take(count, "output"));
}

describe.each(versions)("a watch over SSE, %s", (version) => {
  it("opens at once, replays and goes on live", async () => {
    const { runtime, server } = await serve();
    const worker = runtime.worker("w1");
    await worker.stdout("one");
    const reader = await openSse(`${server.url}/v1/events`, { version });
    expect(reader.status).toBe(200);
    expect(reader.headers).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    const opened = await reader.next();
    expect(opened?.event).toBe("opened");
    expect(fromJson(StreamOpenedSchema, JSON.parse(opened?.data ?? "")).runtimeId).toBe(runtime.id);
    expect(await readTexts(reader, 1)).toEqual(["one"]);
    await worker.stdout("two");
    expect(await readTexts(reader, 1)).toEqual(["two"]);
  });

  it("sends its headers at once on an empty log", async () => {
    const { server } = await serve();
    const reader = await openSse(`${server.url}/v1/events?start_at=latest`, { version });
    expect((await reader.next())?.event).toBe("opened");
  });

  it("resumes with every cursor, in the header or the query, and the header beats the query", async () => {
    const { runtime, server } = await serve();
    const worker = runtime.worker("w1");
    for (const text of ["a", "b", "c", "d"]) await worker.stdout(text);
    const first = await openSse(`${server.url}/v1/workers/w1/events?kinds=output`, { version });
    const messages = await first.take(4, "output");
    const [a, b] = messages.map(({ id }) => id as string) as [string, string];
    first.abandon();
    await worker.stdout("e");

    const byQuery = await openSse(`${server.url}/v1/workers/w1/events?kinds=output&cursor=${a}`, { version });
    expect(await readTexts(byQuery, 4)).toEqual(["b", "c", "d", "e"]);
    for (const query of [`cursor=${a}`, "start_at=latest", "last=1", "since=5m", ""]) {
      const url = `${server.url}/v1/workers/w1/events?kinds=output&${query}`;
      const byHeader = await openSse(url, { version, headers: { "last-event-id": b } });
      expect(await readTexts(byHeader, 3)).toEqual(["c", "d", "e"]);
      byHeader.abandon();
    }
  });

  it("watches one worker, some workers, or all", async () => {
    const { runtime, server } = await serve();
    for (const id of ["a", "b/ü c", "c"]) await runtime.worker(id).stdout(id);
    const one = await openSse(`${server.url}/v1/workers/${encodeURIComponent("b/ü c")}/events`, { version });
    expect(await readTexts(one, 1)).toEqual(["b/ü c"]);
    const some = await openSse(`${server.url}/v1/events?worker_ids=c,a`, { version });
    expect(await readTexts(some, 2)).toEqual(["a", "c"]);
    const all = await openSse(`${server.url}/v1/events`, { version });
    expect(await readTexts(all, 3)).toEqual(["a", "b/ü c", "c"]);
  });

  it("filters by kind", async () => {
    const { runtime, server } = await serve();
    const worker = runtime.worker("w");
    await worker.stdout("noise");
    await worker.narrate("build", "Building");
    const reader = await openSse(`${server.url}/v1/events?kinds=narration`, { version });
    expect(JSON.parse((await reader.find("narration", "output")).data).narration.message).toBe("Building");
  });

  it.each([
    ["start_at=earliest", ["1", "2", "3", "live"]],
    ["start_at=latest", ["live"]],
    ["last=2", ["2", "3", "live"]],
    ["since=1h", ["1", "2", "3", "live"]],
    [`since=${encodeURIComponent(new Date(Date.now() + 3_600_000).toISOString())}`, ["live"]],
    ["", ["1", "2", "3", "live"]],
  ])("starts as told: %s", async (query, expected) => {
    const { runtime, server } = await serve();
    const worker = runtime.worker("w");
    for (const text of ["1", "2", "3"]) await worker.stdout(text);
    const reader = await openSse(`${server.url}/v1/workers/w/events?kinds=output&${query}`, { version });
    await reader.find("opened");
    await worker.stdout("live");
    expect(await readTexts(reader, expected.length)).toEqual(expected);
  });

  it("reckons an age by the time of the events, whatever the clock of the server says", async () => {
    const behind = new MovableClock();
    behind.advance(-40 * 24 * 60 * 60 * 1000);
    const { runtime, server } = await serve({ runtimeClock: behind });
    for (const text of ["1", "2", "3"]) await runtime.worker("w").stdout(text);
    const reader = await openSse(`${server.url}/v1/workers/w/events?kinds=output&since=1h`, { version });
    await runtime.worker("w").stdout("live");
    // The first one shows it: something comes, whatever is left out.
    expect(await readTexts(reader, 1)).toEqual(["1"]);
    expect(await readTexts(reader, 3)).toEqual(["2", "3", "live"]);
  });

  it("waits for a worker that does not exist yet", async () => {
    const { runtime, server } = await serve();
    const reader = await openSse(`${server.url}/v1/workers/later/events?if_missing=wait&kinds=output`, { version });
    await reader.find("opened");
    await runtime.worker("later").stdout("hello");
    expect(await readTexts(reader, 1)).toEqual(["hello"]);
  });

  it("sends bookmarks with a name, data and an id that resumes", async () => {
    const { runtime, server } = await serve();
    await runtime.worker("w").stdout("old");
    const reader = await openSse(`${server.url}/v1/events?start_at=latest&heartbeat=1s`, { version });
    const bookmark = await reader.find("bookmark");
    expect(fromJson(BookmarkSchema, JSON.parse(bookmark.data)).cursor).toBe(bookmark.id);
    await runtime.worker("w").stdout("new");
    const again = await openSse(`${server.url}/v1/events?kinds=output&cursor=${bookmark.id}`, { version });
    expect(await readTexts(again, 1)).toEqual(["new"]);
  });

  it("clamps the heartbeat and says so", async () => {
    const { server } = await serve();
    const reader = await openSse(`${server.url}/v1/events?heartbeat=10ms`, { version });
    expect(JSON.parse((await reader.find("opened")).data).heartbeatInterval).toBe("1s");
  });

  it("forges no field from what a worker writes", async () => {
    const { runtime, server } = await serve();
    const worker = runtime.worker("w");
    const forged = "x\n\nevent: error\ndata: forged\nid: forged\r\rretry: 1\r\n\r\n\0\u2028\u0085";
    await worker.narrate("forge", forged);
    await worker.custom("forge\nevent: error", new TextEncoder().encode(forged), "text/plain");
    await worker.stdout("end");
    const reader = await openSse(`${server.url}/v1/workers/w/events`, { version });
    expect(JSON.parse((await reader.find("narration")).data).narration.message).toBe(forged);
    expect(JSON.parse((await reader.find("custom")).data).custom.type).toBe("forge\nevent: error");
    await readTexts(reader, 1);
    expect(reader.text).not.toMatch(/^event: error$/m);
    expect(reader.text).not.toMatch(/^data: forged$/m);
    expect(reader.text).not.toContain("\0");
    expect(reader.retries).toEqual([]);
    // The id comes last, so that a torn event never moves the reader on.
    const whole = reader.text.slice(0, reader.text.lastIndexOf("\n\n"));
    for (const block of whole.split("\n\n")) {
      expect(block).toMatch(/^event: [a-z_]+\ndata: [^\n\r]*\nid: [\w-]+$/);
    }
  });

  it("ends the stream of a worker that ended, and then answers 204", async () => {
    const { runtime, server } = await serve();
    const worker = runtime.worker("w");
    await worker.stdout("bye");
    await worker.end({ outcome: WorkerOutcome.SUCCEEDED, exitCode: 0 });
    const reader = await openSse(`${server.url}/v1/workers/w/events`, { version });
    const messages = await reader.rest();
    const last = messages.at(-1);
    expect(last?.event).toBe("diagnostic");
    expect(JSON.parse(last?.data ?? "")).toMatchObject({ severity: "SEVERITY_TERMINAL", streamEnded: { worker: {} } });
    const id = last?.id as string;
    const byHeader = await openSse(`${server.url}/v1/workers/w/events`, { version, headers: { "last-event-id": id } });
    expect([byHeader.status, await byHeader.body()]).toEqual([204, ""]);
    const byQuery = await openSse(`${server.url}/v1/workers/w/events?cursor=${id}`, { version });
    expect([byQuery.status, await byQuery.body()]).toEqual([204, ""]);
  });
});
