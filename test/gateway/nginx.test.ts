import { describe, expect, it } from "vitest";
import { startNginx } from "../support/nginx.ts";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";
import { until } from "../support/until.ts";

const sequenceOf = ({ data }: { data: string }): number => Number(JSON.parse(data).workerSequence);

/** What nginx may be told about its upstream. By default it buffers and speaks HTTP/1.0. */
const upstreams: readonly (readonly [string, readonly string[]])[] = [
  ["as it comes", []],
  ["with HTTP/1.1", ["proxy_http_version 1.1;", 'proxy_set_header Connection "";']],
  ["with compression", ["proxy_http_version 1.1;", "gzip on;", "gzip_types *;", "gzip_min_length 0;"]],
];

describe.each(upstreams)("through nginx %s", (_name, lines) => {
  it("comes at once, event by event", async () => {
    const { server, runtime } = await serve();
    const nginx = await startNginx(server.url, lines);
    const reader = await openSse(`${nginx.url}/v1/events?kinds=output`);
    expect(reader.headers["content-type"]).toBe("text/event-stream");
    await reader.find("opened");
    for (let i = 0; i < 5; i++) {
      await runtime.worker("w").stdout(`${i}`);
      // Nothing follows that could push it through a buffer.
      expect(Buffer.from(JSON.parse((await reader.find("output")).data).output.data, "base64").toString()).toBe(`${i}`);
    }
  });

  it("keeps problems, conditions and cursors as they are", async () => {
    const { server, runtime } = await serve();
    await runtime.worker("w").stdout("x");
    const nginx = await startNginx(server.url, lines);
    const refused = await fetch(`${nginx.url}/v1/events?cursor=none`);
    expect([refused.status, refused.headers.get("content-type")]).toEqual([400, "application/problem+json"]);
    const first = await fetch(`${nginx.url}/v1/workers/w`);
    const tag = first.headers.get("etag") ?? "";
    const again = await fetch(`${nginx.url}/v1/workers/w`, { headers: { "if-none-match": tag } });
    expect(again.status).toBe(304);
    expect(again.headers.get("tailrace-cursor")).toBe(first.headers.get("tailrace-cursor"));
  });
});

describe("through nginx", () => {
  it("outlives a read timeout that is longer than the heartbeat", async () => {
    const { server, runtime } = await serve();
    const nginx = await startNginx(server.url, ["proxy_read_timeout 8s;"]);
    const reader = await openSse(`${nginx.url}/v1/events?kinds=output&heartbeat=1s`);
    // Some more seconds than the timeout has, which itself is several heartbeats.
    await reader.take(10, "bookmark");
    await runtime.worker("w").stdout("still there");
    await reader.find("output");
  });

  it("resumes after a read timeout that is shorter than the heartbeat", async () => {
    const { server, runtime } = await serve();
    const nginx = await startNginx(server.url, ["proxy_read_timeout 5s;"]);
    await runtime.worker("w").stdout("1");
    const reader = await openSse(`${nginx.url}/v1/workers/w/events?kinds=output&heartbeat=60s`);
    const seen = (await reader.rest()).filter(({ id }) => id !== undefined);
    await runtime.worker("w").stdout("2");
    const again = await openSse(`${nginx.url}/v1/workers/w/events?kinds=output`, {
      headers: { "last-event-id": seen.at(-1)?.id ?? "" },
    });
    const sequences = [...seen.filter(({ event }) => event === "output"), await again.find("output")].map(sequenceOf);
    expect(sequences[1]).toBe((sequences[0] as number) + 1);
  });

  it("loses nothing where it buffers all the same", async () => {
    const { server, runtime } = await serve();
    const nginx = await startNginx(server.url, ["proxy_ignore_headers X-Accel-Buffering;", "proxy_buffering on;"]);
    const worker = runtime.worker("w");
    for (let i = 0; i < 500; i++) await worker.stdout(`line ${i} ${"x".repeat(200)}`);
    await worker.end({});
    const reader = await openSse(`${nginx.url}/v1/workers/w/events?kinds=output`);
    const messages = await reader.rest();
    const sequences = messages.filter(({ event }) => event === "output").map(sequenceOf);
    expect(sequences.length).toBe(500);
    expect(sequences).toEqual(Array.from({ length: 500 }, (_, index) => (sequences[0] as number) + index));
    expect(messages.at(-1)?.event).toBe("diagnostic");
  });

  it("ends the watch when nginx goes away", async () => {
    const { server, runtime } = await serve();
    const nginx = await startNginx(server.url);
    const reader = await openSse(`${nginx.url}/v1/events`);
    await reader.find("opened");
    expect(runtime.watches).toBe(1);
    await nginx.stop();
    await reader.rest();
    await until(() => runtime.watches === 0, "the watch to end");
  });
});
