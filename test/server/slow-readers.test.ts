import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/base/clock.ts";
import { type Serving, serve } from "../support/serving.ts";
import { openSse, type SseReader } from "../support/sse-reader.ts";
import { until } from "../support/until.ts";

/** More than the socket buffers of both sides take. */
const volumeBytes = 24 * 1024 * 1024;
const chunkBytes = 48 * 1024;
const chunks = volumeBytes / chunkBytes;

async function flood({ runtime }: Serving): Promise<string> {
  const hash = createHash("sha256");
  const worker = runtime.worker("flood");
  for (let i = 0; i < chunks; i++) {
    const chunk = Buffer.alloc(chunkBytes, `${i} `);
    hash.update(chunk);
    await worker.stdout(chunk);
  }
  return hash.digest("hex");
}

/** A reader that has taken the beginning and then nothing until its server was blocked by it. */
async function blocked(version: "http1" | "http2"): Promise<{
  serving: Serving;
  clock: ManualClock;
  reader: SseReader;
  hash: string;
}> {
  // The only timers of this clock are the edges' own: the runtime has the system's.
  const clock = new ManualClock();
  const serving = await serve({ clock, stallTimeoutMs: 120_000 });
  const reader = await openSse(`${serving.server.url}/v1/events?kinds=output`, { version });
  await reader.find("opened");
  expect(clock.pending).toBe(0);
  reader.pause();
  const hash = await flood(serving);
  await until(() => clock.pending === 1, "the reader to hold up its server");
  return { serving, clock, reader, hash };
}

describe.each(["http1", "http2"] as const)("a reader that takes nothing for a while, %s", (version) => {
  it("gets everything in order when it goes on, and costs the others nothing", async () => {
    const { serving, clock, reader, hash } = await blocked(version);
    const other = await openSse(`${serving.server.url}/v1/events?kinds=output&start_at=latest`, { version });
    await other.find("opened");
    await serving.runtime.worker("other").stdout("still here");
    expect(JSON.parse((await other.find("output")).data).workerId).toBe("other");

    reader.resume();
    const received = createHash("sha256");
    for (let i = 0; i < chunks; i++) {
      const event = JSON.parse((await reader.find("output")).data);
      received.update(Buffer.from(event.output.data, "base64"));
    }
    expect(received.digest("hex")).toBe(hash);
    expect(JSON.parse((await reader.find("output")).data).workerId).toBe("other");
    await until(() => clock.pending === 0, "the stall timer to stop");
  });

  it("leaves nothing behind when its connection dies", async () => {
    const { serving, clock, reader } = await blocked(version);
    expect(serving.runtime.watches).toBe(1);
    reader.abandon();
    await until(() => serving.runtime.watches === 0, "the watch to end");
    expect(clock.pending).toBe(0);
    await until(() => openSockets() === 0, "the sockets to close");
  });

  it("is cut off after the stall timeout, and comes back to what it missed", async () => {
    const { serving, clock, reader } = await blocked(version);
    clock.advance(119_999);
    expect(serving.runtime.watches).toBe(1);
    // Kernel buffers may have taken something in between, so the first look may only note that.
    await until(() => {
      clock.advance(120_000);
      return serving.runtime.watches === 0;
    }, "the watch to end");
    expect(clock.pending).toBe(0);
    reader.resume();
    const messages = await reader.rest();
    const last = messages.filter(({ id }) => id !== undefined).at(-1)?.id as string;
    const again = await openSse(`${serving.server.url}/v1/events?kinds=output`, {
      version,
      headers: { "last-event-id": last },
    });
    const seen = messages.filter(({ event }) => event === "output").length;
    expect(seen).toBeLessThan(chunks);
    const missed = await again.take(chunks - seen, "output");
    const sequences = [...messages.filter(({ event }) => event === "output"), ...missed].map(({ data }) =>
      Number(JSON.parse(data).output.offset ?? 0),
    );
    expect(sequences).toEqual(Array.from({ length: chunks }, (_, index) => index * chunkBytes));
  });
});

/** Connections of this process, of both sides. */
function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
}
