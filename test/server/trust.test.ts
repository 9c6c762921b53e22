import { request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { networkInterfaces } from "node:os";
import { describe, expect, it, onTestFinished } from "vitest";
import { hasReason } from "../../src/base/errors.ts";
import { createServer } from "../../src/server/index.ts";
import { type Serving, serve } from "../support/serving.ts";

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}

/** A request with headers that `fetch` would not let a test set. */
function ask(
  { server }: Serving,
  headers: Record<string, string>,
  method = "GET",
  path = "/v1/workers",
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(server.url + path, { method, headers, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    asked.on("error", reject);
    asked.end(method === "GET" ? undefined : "{}");
  });
}

describe("the host that a request is for", () => {
  it.each([
    "localhost",
    "localhost:1",
    "LOCALHOST:7433",
    "127.0.0.1:9",
    "127.1.2.3",
    "[::1]:7433",
    "runtime.example:80",
    "RUNTIME.example",
  ])("may be %s", async (host) => {
    const serving = await serve({ allowedHosts: ["Runtime.Example"] });
    expect((await ask(serving, { host })).status).toBe(200);
  });

  it.each([
    "evil.example",
    "evil.example:7433",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "user@localhost",
    "localhost:7433@evil.example",
    "[::1",
    " ",
    "0.0.0.0",
  ])("may not be %j", async (host) => {
    const serving = await serve();
    const answer = await ask(serving, { host });
    expect(answer.status).toBe(403);
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    expect(JSON.parse(answer.body).diagnostic.accessDenied).toBeDefined();
  });

  it("is checked over HTTP/2 too", async () => {
    const { server } = await serve();
    const session = connectHttp2(server.url);
    onTestFinished(() => session.destroy());
    for (const [authority, status] of [
      ["localhost:1", 200],
      ["evil.example", 403],
    ] as const) {
      const stream = session.request({ ":path": "/v1/workers", ":authority": authority });
      const headers = await new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
      expect(headers[":status"]).toBe(status);
      stream.close();
    }
  });
});

describe("the page that a request comes from", () => {
  it.each([
    { origin: "https://console.example" },
    { origin: "http://localhost:7433", host: "localhost:7433" },
    { origin: "https://localhost:7433", host: "localhost:7433" },
    { "sec-fetch-site": "same-origin" },
    { "sec-fetch-site": "none" },
    { "sec-fetch-site": "cross-site", origin: "https://console.example" },
  ])("may be %j", async (headers) => {
    const serving = await serve({ allowedOrigins: ["https://console.example"] });
    expect((await ask(serving, { host: "localhost", ...(headers as Record<string, string>) })).status).toBe(200);
  });

  it.each([
    { origin: "https://evil.example" },
    { origin: "null" },
    { origin: "" },
    { origin: "http://localhost:3000", host: "localhost:7433" },
    { origin: "http://localhost:7433.evil.example", host: "localhost:7433" },
    { origin: "file://localhost:7433", host: "localhost:7433" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ])("may not be %j", async (headers) => {
    const serving = await serve();
    const answer = await ask(serving, { host: "localhost", ...(headers as Record<string, string>) });
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.body).diagnostic.accessDenied).toBeDefined();
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  });

  it("is refused in the words of the protocol that it speaks", async () => {
    const serving = await serve();
    const path = "/tailrace.v1.PublisherService/PublishEvents";
    const foreign = { origin: "https://evil.example" };
    const connect = await ask(serving, { ...foreign, "content-type": "application/json" }, "POST", path);
    expect([connect.status, connect.headers["content-type"]]).toEqual([403, "application/json"]);
    expect(JSON.parse(connect.body)).toMatchObject({
      code: "permission_denied",
      details: [{ type: "tailrace.v1.StreamDiagnostic", debug: { accessDenied: {} } }],
    });
    // The conformance tests hold every other protocol's client against the same.
    const web = await ask(serving, { ...foreign, "content-type": "application/grpc-web+proto" }, "POST", path);
    expect(web.status).toBe(200);
    expect(web.body).toMatch(/grpc-status: 7\r\n/);
    expect(serving.runtime.health().available).toBe(true);
  });
});

describe("the content type of what may change something", () => {
  const paths = ["/tailrace.v1.PublisherService/PublishEvents", "/v1/jobs/j/start"];

  it.each([
    "",
    "text/plain",
    "text/plain; x=application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
  ])("may not be %j, which a form or a script of any page can send", async (type) => {
    const serving = await serve();
    for (const path of paths) {
      const answer = await ask(serving, type === "" ? {} : { "content-type": type }, "POST", path);
      expect(answer.status).toBe(415);
      expect(answer.headers["accept-post"]).toContain("application/json");
      expect(answer.headers["content-type"]).toBe("application/problem+json");
    }
  });

  it.each(["application/json", "Application/JSON; charset=utf-8"])("may be %s", async (type) => {
    const serving = await serve();
    const answer = await ask(serving, { "content-type": type }, "POST", "/v1/jobs/j/start");
    expect(answer.status).toBe(404);
  });

  it.each(["application/connect+proto", "application/grpc", "application/proto"])(
    "may be %s for RPCs, but routes of JSON take only that",
    async (type) => {
      const serving = await serve();
      const route = await ask(serving, { "content-type": type }, "POST", "/v1/jobs/j/start");
      expect([route.status, route.headers["accept-post"]]).toEqual([415, "application/json"]);
      const rpc = await ask(serving, { "content-type": type }, "POST", "/tailrace.v1.EventStreamService/WatchEvents");
      expect(rpc.headers["content-type"]).not.toBe("application/problem+json");
    },
  );
});

describe("where a server listens", () => {
  it("is this machine only, unless told", async () => {
    const { runtime } = await serve();
    for (const listen of ["0.0.0.0:0", "[::]:0", "10.1.2.3:0", "example.com:0"]) {
      await expect(createServer({ runtime, listen })).rejects.toSatisfy(
        (error: unknown) => hasReason(error, "invalid_request") && error.message.includes("insecure"),
      );
    }
  });

  it("may be everywhere, and is then called by the address that was dialled", async () => {
    const serving = await serve({ listen: "0.0.0.0:0", insecure: true });
    const { port } = serving.server.address;
    const outside = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
    const address = outside ?? "127.0.0.1";
    expect((await fetch(`http://${address}:${port}/healthz`)).status).toBe(200);
    expect((await ask(serving, { host: `10.99.99.99:${port}` })).status).toBe(403);
    expect((await ask(serving, { host: "evil.example" })).status).toBe(403);
  });

  it("says what to do where it can't", async () => {
    const { runtime, server } = await serve();
    const taken = `127.0.0.1:${server.address.port}`;
    for (const [listen, words, insecure] of [
      [taken, "in use", false],
      ["192.0.2.1:7433", "no address of this machine", true],
    ] as const) {
      await expect(createServer({ runtime, listen, insecure })).rejects.toSatisfy(
        (error: unknown) => hasReason(error, "invalid_request") && error.message.includes(words),
      );
    }
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });
});
