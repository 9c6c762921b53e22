import { expect, it, onTestFinished, vi } from "vitest";
import { dial } from "../support/dial.ts";

// Longer than a machine pauses, which must not look like a client that took its time before it did anything.
vi.mock("../../src/base/limits.ts", async (load) => {
  const real = await load<typeof import("../../src/base/limits.ts")>();
  return {
    ...real,
    limits: { ...real.limits, headersTimeoutMs: 4_000, receiveTimeoutMs: 5_000, keepAliveTimeoutMs: 600_000 },
  };
});

const { serve } = await import("../support/serving.ts");
const { openSse } = await import("../support/sse-reader.ts");

// One test, so that every timeout is waited for once.
it("a client that takes its time to ask is cut off, and a watch outlives every timeout of requests", async () => {
  const { server, runtime } = await serve();
  const { port } = server.address;
  const readers = await Promise.all(
    (["http1", "http2"] as const).map((version) => openSse(`${server.url}/v1/events?kinds=output`, { version })),
  );
  for (const reader of readers) await reader.find("opened");

  const silent = await dial(port);
  const slowHead = await dial(port);
  slowHead.socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ");
  const drip = setInterval(() => slowHead.socket.write("x"), 50);
  onTestFinished(() => clearInterval(drip));
  const slowBody = await dial(port);
  slowBody.socket.write(
    "POST /tailrace.v1.PublisherService/PublishEvents HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
  );
  await Promise.all([silent.closed, slowHead.closed, slowBody.closed]);
  expect(silent.received()).toBe("");
  expect(slowHead.received()).toMatch(/^HTTP\/1\.1 408 /);
  expect(slowBody.received()).toMatch(/^HTTP\/1\.1 408 /);

  await runtime.worker("w").stdout("later");
  for (const reader of readers) await reader.find("output");
});
