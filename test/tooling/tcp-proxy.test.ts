import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { startTcpProxy } from "../support/tcp-proxy.ts";

/** Numbers from 0, four bytes each. */
function numbers(count: number): Buffer {
  const bytes = Buffer.alloc(count * 4);
  for (let i = 0; i < count; i++) bytes.writeUInt32BE(i, i * 4);
  return bytes;
}

test("nothing passes behind a cut, however much is on its way", async () => {
  const sent = numbers(1024 * 1024);
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    for (let at = 0; at < sent.length; at += 65_536) socket.write(sent.subarray(at, at + 65_536));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const proxy = await startTcpProxy((server.address() as AddressInfo).port);
  for (let turn = 1; turn <= 20; turn++) {
    const cutAfter = turn * 50_001;
    proxy.cutAfter(cutAfter);
    const client = connect(proxy.port, "127.0.0.1");
    const pieces: Buffer[] = [];
    client.on("data", (piece: Buffer) => pieces.push(piece));
    await new Promise<void>((resolve) => {
      client.on("error", () => undefined);
      client.on("close", () => resolve());
    });
    const received = Buffer.concat(pieces);
    expect(received.length).toBeLessThanOrEqual(cutAfter);
    expect(received.equals(sent.subarray(0, received.length))).toBe(true);
  }
});
