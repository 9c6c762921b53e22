import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished, vi } from "vitest";

vi.mock("../../src/base/limits.ts", async (load) => {
  const real = await load<typeof import("../../src/base/limits.ts")>();
  return {
    ...real,
    limits: { ...real.limits, headersTimeoutMs: 400, receiveTimeoutMs: 800, keepAliveTimeoutMs: 60_000 },
  };
});

const { serve } = await import("../support/serving.ts");
const { openSse } = await import("../support/sse-reader.ts");

async function dial(port: number): Promise<{ socket: Socket; received: () => string; closed: Promise<void> }> {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => {
    socket.destroy();
  });
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (piece: string) => {
    text += piece;
  });
  socket.on("error", () => undefined);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await new Promise((resolve) => socket.once("connect", resolve));
  return { socket, received: () => text, closed };
}

describe("a client that takes its time to ask", () => {
  it("is cut off where it never says anything", async () => {
    const { server } = await serve();
    const { closed, received } = await dial(server.address.port);
    await closed;
    expect(received()).toBe("");
  });

  it("is cut off where its headers never end", async () => {
    const { server } = await serve();
    const { socket, closed, received } = await dial(server.address.port);
    socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ");
    const drip = setInterval(() => socket.write("x"), 50);
    onTestFinished(() => clearInterval(drip));
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 408 /);
  });

  it("is cut off where its body never ends", async () => {
    const { server } = await serve();
    const { socket, closed, received } = await dial(server.address.port);
    socket.write(
      "POST /tailrace.v1.PublisherService/PublishEvents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    );
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 408 /);
  });
});

describe("a watch", () => {
  it("outlives every timeout of requests", async () => {
    const { server, runtime } = await serve();
    const readers = await Promise.all(
      (["http1", "http2"] as const).map((version) => openSse(`${server.url}/v1/events?kinds=output`, { version })),
    );
    for (const reader of readers) await reader.find("opened");
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await runtime.worker("w").stdout("later");
    for (const reader of readers) await reader.find("output");
  });
});
