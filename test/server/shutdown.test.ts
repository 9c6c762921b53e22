import { connect as connectHttp2 } from "node:http2";
import { describe, expect, it, onTestFinished } from "vitest";
import { ManualClock } from "../../src/base/clock.ts";
import { decodeCursor } from "../../src/events/cursor.ts";
import { dial } from "../support/dial.ts";
import { selfSigned } from "../support/self-signed.ts";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";
import { socketsAreFull, until } from "../support/until.ts";

describe.each([
  ["http1", false],
  ["http2", false],
  ["http1", true],
  ["http2", true],
] as const)("a server that closes, %s, TLS %s", (version, tls) => {
  it("ends every watch with server_closing and a cursor that comes back", async () => {
    const certificate = tls ? selfSigned() : undefined;
    const { runtime, server } = await serve(certificate === undefined ? {} : { tls: certificate });
    const options = certificate === undefined ? { version } : { version, ca: certificate.cert };
    await runtime.worker("w").stdout("last");
    const readers = await Promise.all(
      ["/v1/events", "/v1/workers/w/events", "/v1/events?kinds=narration"].map((path) =>
        openSse(server.url + path, options),
      ),
    );
    await readers[0]?.find("output");
    // Longer than a test may take: nothing here is to need the grace.
    await server.close({ graceMs: 600_000 });
    for (const reader of readers) {
      const last = (await reader.rest()).at(-1);
      expect(last?.event).toBe("diagnostic");
      expect(JSON.parse(last?.data ?? "")).toMatchObject({
        severity: "SEVERITY_TERMINAL",
        serverClosing: { retryAfter: "1s" },
      });
      expect(decodeCursor(last?.id ?? "").closing).toBe(false);
      expect(reader.failure).toBeUndefined();
    }
    await expect(openSse(`${server.url}/healthz`, options)).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe("a server that closes", () => {
  it("closes connections that wait for their next request, or have not said anything", async () => {
    const { server } = await serve();
    const silent = await dial(server.address.port);
    const idle = await dial(server.address.port);
    idle.socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    await new Promise((resolve) => idle.socket.once("data", resolve));
    await server.close({ graceMs: 600_000 });
    await Promise.all([silent.closed, idle.closed]);
  });

  it("lets a request that has begun have its answer", async () => {
    const { server } = await serve();
    const { socket, received, closed } = await dial(server.address.port);
    const body = JSON.stringify({ events: [{ workerId: "w", custom: { type: "late" } }] });
    const head = [
      "POST /tailrace.v1.PublisherService/PublishEvents HTTP/1.1",
      "host: localhost",
      "content-type: application/json",
      `content-length: ${body.length}`,
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n${body.slice(0, 10)}`);
    // Until the server has seen the head, the connection counts as one that has not said anything.
    await fetch(`${server.url}/healthz`, { headers: { connection: "close" } });
    const closing = server.close({ graceMs: 600_000 });
    socket.write(body.slice(10));
    await closed;
    await closing;
    expect(received()).toMatch(/^HTTP\/1\.1 503 /);
    expect(received()).toContain('"code":"unavailable"');
    expect(received()).toContain("serverClosing");
  });

  it("tells HTTP/2 to go away, and closes the session when its streams are done", async () => {
    const { server } = await serve();
    const session = connectHttp2(server.url);
    onTestFinished(() => session.destroy());
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    const away = new Promise<number>((resolve) => session.once("goaway", resolve));
    const closed = new Promise<void>((resolve) => session.once("close", () => resolve()));
    await server.close({ graceMs: 600_000 });
    expect(await away).toBe(0);
    await closed;
  });

  it("cuts off after the grace what takes nothing", async () => {
    const clock = new ManualClock();
    const { server, runtime } = await serve({ clock });
    const readers = await Promise.all(
      (["http1", "http2"] as const).map((version) => openSse(`${server.url}/v1/events?kinds=output`, { version })),
    );
    for (const reader of readers) {
      await reader.find("opened");
      reader.pause();
    }
    for (let i = 0; i < 300; i++) await runtime.worker("w").stdout(Buffer.alloc(64 * 1024));
    await until(() => clock.pending === readers.length, "the readers to hold up their server");
    // Until their sockets are full: else the end would go into them, and nothing would have to be waited for.
    await socketsAreFull();
    let closed = false;
    const closing = server.close({ graceMs: 200 }).then(() => {
      closed = true;
    });
    clock.advance(199);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(closed).toBe(false);
    clock.advance(1);
    await closing;
    expect(runtime.watches).toBe(0);
  });

  it("closes once, however often it is asked", async () => {
    const { server } = await serve();
    expect(server.close()).toBe(server.close());
    await server.close();
  });
});
