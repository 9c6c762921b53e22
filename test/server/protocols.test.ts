import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { selfSigned } from "../support/self-signed.ts";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";

describe("one port in cleartext", () => {
  it("speaks HTTP/1.1 and HTTP/2", async () => {
    const { server, runtime } = await serve();
    await runtime.worker("w").stdout("x");
    for (const version of ["http1", "http2"] as const) {
      const reader = await openSse(`${server.url}/v1/events`, { version });
      expect(reader.status).toBe(200);
      await reader.find("output");
    }
  });

  it.each([1, 2, 3, 5, 23, 24])("tells HTTP/2 when its preface comes in pieces of %d bytes", async (size) => {
    const { server } = await serve();
    const socket = await dial(server.address.port);
    const preface = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), emptySettings]);
    for (let at = 0; at < preface.length; at += size) {
      socket.write(preface.subarray(at, at + size));
      await new Promise(setImmediate);
    }
    const answer = await received(socket, (bytes) => bytes.length >= 4);
    // A SETTINGS frame: three bytes of length, then the type.
    expect(answer[3]).toBe(4);
  });

  it.each([1, 2, 3])(
    "tells HTTP/1.1 when a method that begins like the preface comes in pieces of %d bytes",
    async (size) => {
      const { server } = await serve();
      const socket = await dial(server.address.port);
      const request = "PROPFIND /v1/workers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\r\n";
      for (let at = 0; at < request.length; at += size) {
        socket.write(request.slice(at, at + size));
        await new Promise(setImmediate);
      }
      expect((await received(socket, hasAnswer)).toString()).toMatch(/^HTTP\/1\.1 405 /);
    },
  );

  it("keeps an HTTP/1.1 connection for the next request", async () => {
    const { server } = await serve();
    const socket = await dial(server.address.port);
    for (let i = 0; i < 2; i++) {
      socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
      expect((await received(socket, hasAnswer)).toString()).toMatch(/^HTTP\/1\.1 200 /);
    }
  });

  it("answers a client that has ended its side", async () => {
    const { server } = await serve();
    const socket = await dial(server.address.port);
    socket.end("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    expect((await received(socket, hasAnswer)).toString()).toMatch(/^HTTP\/1\.1 (200|400) /);
  });

  it("survives connections that say nothing, break off, or speak nonsense", async () => {
    const { server } = await serve();
    (await dial(server.address.port)).end();
    (await dial(server.address.port)).resetAndDestroy();
    const half = await dial(server.address.port);
    half.write("PR");
    half.resetAndDestroy();
    const nonsense = await dial(server.address.port);
    nonsense.write("\x16\x03\x01 hello\r\n\r\n");
    expect((await received(nonsense, hasAnswer)).toString()).toMatch(/^HTTP\/1\.1 400 /);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });

  it("refuses headers beyond their limit", async () => {
    const { server } = await serve();
    const answer = await fetch(`${server.url}/healthz`, { headers: { "x-large": "x".repeat(20_000) } });
    expect(answer.status).toBe(431);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(await answer.json()).toMatchObject({ status: 431, detail: expect.stringContaining("headers") });
  });

  it("says of what is no request that it is none, but never into an answer", async () => {
    const { server } = await serve();
    const idle = await dial(server.address.port);
    idle.write("no request\r\n\r\n");
    const [head = "", body = ""] = (await received(idle, hasAnswer)).toString().split("\r\n\r\n");
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(body)).toMatchObject({ status: 400, title: "Bad Request" });

    const busy = await dial(server.address.port);
    busy.write("GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
    await received(busy, (bytes) => bytes.includes("caught"));
    busy.write("no request\r\n\r\n");
    busy.end();
    expect((await received(busy, () => false)).toString()).not.toContain("HTTP/1.1");
  });

  it("carries many watches on one HTTP/2 connection", async () => {
    const { server, runtime } = await serve();
    const session = connectHttp2(server.url);
    onTestFinished(() => session.destroy());
    const streams = Array.from({ length: 200 }, () => session.request({ ":path": "/v1/events?kinds=output" }));
    const counts = streams.map((stream) => {
      stream.setEncoding("utf8");
      return new Promise<void>((resolve) => {
        let text = "";
        stream.on("data", (piece: string) => {
          text += piece;
          if (text.includes("event: output")) resolve();
        });
      });
    });
    await runtime.worker("w").stdout("to all");
    await Promise.all(counts);
    expect(runtime.watches).toBe(200);
  });
});

describe("a body that nobody wants", () => {
  it.each([
    ["/v1/jobs/j/start", "application/json", 400],
    ["/v1/jobs/j/start?x=1", "application/json", 400],
    ["/v1/jobs/%FF/start", "application/json", 400],
    ["/v1/jobs", "application/proto", 415],
    ["/v1/events", "application/json", 405],
    ["/v1/events", "text/plain", 415],
    ["/tailrace.v1.PublisherService/PublishEvents", "text/plain", 415],
    ["/nowhere", "application/json", 404],
  ])("POST %s as %s holds neither its stream nor its connection", async (path, type, status) => {
    const { server } = await serve();
    const body = Buffer.alloc(1024 * 1024, "x");
    const session = connectHttp2(server.url);
    onTestFinished(() => session.destroy());
    const stream = session.request({ ":path": path, ":method": "POST", "content-type": type });
    const closed = new Promise<void>((resolve) => stream.once("close", () => resolve()));
    stream.end(body);
    stream.resume();
    const headers = await new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
    expect(headers[":status"]).toBe(status);
    await closed;
    const again = session.request({ ":path": "/healthz" });
    const healthy = await new Promise<Record<string, unknown>>((resolve) => again.once("response", resolve));
    expect(healthy[":status"]).toBe(200);

    const overHttp1 = await fetch(server.url + path, { method: "POST", headers: { "content-type": type }, body });
    expect(overHttp1.status).toBe(status);
  });
});

describe("one port with TLS", () => {
  it("speaks both by ALPN, and nothing in cleartext", async () => {
    const certificate = selfSigned();
    const { server, runtime } = await serve({ tls: certificate });
    expect(server.url).toMatch(/^https:/);
    await runtime.worker("w").stdout("x");
    for (const version of ["http1", "http2"] as const) {
      const reader = await openSse(`${server.url}/v1/events`, { version, ca: certificate.cert });
      expect(reader.status).toBe(200);
      await reader.find("output");
    }
    const large = await openSse(`${server.url}/healthz`, {
      ca: certificate.cert,
      headers: { "x-large": "x".repeat(20_000) },
    });
    expect([large.status, large.headers["content-type"]]).toEqual([431, "application/problem+json"]);
    const socket = await dial(server.address.port);
    socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    expect((await received(socket, hasAnswer)).toString()).not.toMatch(/^HTTP\/1\.1 200/);
  });
});

/** A SETTINGS frame without settings. */
const emptySettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => undefined);
  onTestFinished(() => {
    socket.destroy();
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

/** What comes next, until it is enough or the connection ended. */
function received(socket: Socket, isEnough: (bytes: Buffer) => boolean): Promise<Buffer> {
  return new Promise((resolve) => {
    let bytes: Buffer = Buffer.alloc(0);
    const done = (): void => {
      socket.off("data", take);
      resolve(bytes);
    };
    const take = (more: Buffer): void => {
      bytes = Buffer.concat([bytes, more]);
      if (isEnough(bytes)) done();
    };
    socket.on("data", take);
    for (const end of ["end", "close"]) socket.once(end, done);
  });
}

/** Whether bytes are a whole answer of HTTP/1.1 that says its length. */
function hasAnswer(bytes: Buffer): boolean {
  const [head = "", body] = bytes.toString().split("\r\n\r\n");
  const length = /^content-length: (\d+)$/im.exec(head)?.[1];
  return body !== undefined && length !== undefined && body.length >= Number(length);
}
