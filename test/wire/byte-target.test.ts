import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { sendStreamHead, targetOf } from "../../src/wire/byte-target.ts";
import { allocateFrame, reuseFrame } from "../../src/wire/chunk.ts";
import { ByteWriter } from "../../src/wire/node-writer.ts";
import { randomOf } from "../support/random.ts";
import { selfSigned } from "../support/self-signed.ts";
import { until } from "../support/until.ts";

/** A frame of random length whose bytes say where in the whole stream they are. */
function fillFrame(frame: Buffer, offset: number): Buffer {
  for (let i = 0; i < frame.length; i++) frame[i] = (offset + i) % 251;
  return frame;
}

/** Numbers that look random and are the same in every run. */
function numbers(): (below: number) => number {
  const random = randomOf(12_345);
  return (below) => Math.floor(random() * below);
}

/** The answer of a server on this machine, on a connection of its own. */
async function get(port: number, tls: boolean): Promise<IncomingMessage> {
  const call = tls
    ? httpsRequest({ port, host: "127.0.0.1", rejectUnauthorized: false, agent: false })
    : httpRequest({ port, host: "127.0.0.1", agent: false });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  return response;
}

/** Takes the body a few bytes at a time, with pauses, and checks every one of them. Returns how many there were. */
async function checkSlowly(response: IncomingMessage, total: number): Promise<number> {
  const random = numbers();
  let seen = 0;
  while (seen < total) {
    const bytes = response.read(Math.min(1 + random(90_000), total - seen)) as Buffer | null;
    if (bytes === null) {
      if (response.readableEnded) break;
      // Also said at the end.
      await once(response, "readable");
      continue;
    }
    for (const byte of bytes) if (byte !== seen++ % 251) throw new Error(`byte ${seen - 1} is ${byte}`);
    // The writer meets a full socket at another byte every time.
    for (let turns = random(3); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
  }
  return seen;
}

async function serve(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return (server.address() as AddressInfo).port;
}

const totalBytes = 24 * 1024 * 1024;

describe.each(["HTTP/1.1", "HTTP/1.1 over TLS"])("frames over %s", (protocol) => {
  const tls = protocol.endsWith("TLS");

  it("may change as soon as they are flushed, at whatever byte the reader holds them up", async () => {
    let reused = 0;
    let heldUp = 0;
    const answer = (_: unknown, response: ServerResponse): void => {
      const random = numbers();
      sendStreamHead(response, 200, { "content-type": "application/octet-stream" });
      let written = 0;
      let frame: Buffer | undefined;
      const writer = new ByteWriter({
        target: targetOf(response),
        clock: systemClock,
        stallTimeoutMs: 120_000,
        onDrain: () => writeOn(),
        onGone: () => undefined,
      });
      const writeOn = (): void => {
        for (;;) {
          if (frame !== undefined && writer.flushed) {
            // Whoever still reads from it would see this.
            frame.fill(255);
            reuseFrame(frame);
            reused++;
          }
          frame = undefined;
          if (written >= totalBytes) {
            writer.end();
            return;
          }
          frame = fillFrame(allocateFrame(Math.min(1 + random(700_000), totalBytes - written)), written);
          written += frame.length;
          if (!writer.write(frame)) {
            heldUp++;
            return;
          }
        }
      };
      writeOn();
    };
    const server = tls ? createTlsServer(selfSigned(), answer) : createServer(answer);
    const port = await serve(server);
    const response = await get(port, tls);
    expect(await checkSlowly(response, totalBytes)).toBe(totalBytes);
    expect(heldUp).toBeGreaterThan(0);
    expect(reused).toBeGreaterThan(0);
  });

  it("are not flushed while the reader takes nothing", async () => {
    let writer: ByteWriter | undefined;
    let drained = false;
    const answer = (_: unknown, response: ServerResponse): void => {
      sendStreamHead(response, 200, {});
      writer = new ByteWriter({
        target: targetOf(response),
        clock: systemClock,
        stallTimeoutMs: 120_000,
        onDrain: () => {
          drained = true;
        },
        onGone: () => undefined,
      });
      // More than any socket holds.
      writer.write(fillFrame(allocateFrame(totalBytes), 0));
    };
    const server = tls ? createTlsServer(selfSigned(), answer) : createServer(answer);
    const port = await serve(server);
    const response = await get(port, tls);
    for (let turns = 0; turns < 100; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(writer?.flushed).toBe(false);
    expect(drained).toBe(false);
    expect(await checkSlowly(response, totalBytes)).toBe(totalBytes);
    await until(() => drained, "the writer to be told");
    response.destroy();
  });
});
