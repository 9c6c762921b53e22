import { type DescService, isMessage } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { EventStreamService } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobService } from "../../gen/tailrace/v1/job_service_pb.ts";
import { PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { hasReason } from "../../src/base/errors.ts";
import { type ServiceName, serviceNames } from "../../src/base/services.ts";
import { createServer } from "../../src/server/index.ts";
import { registerOperations, request, submit } from "../jobs/world.ts";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";
import { until } from "../support/until.ts";

const rpcs: Readonly<Record<ServiceName, readonly DescService[]>> = {
  observe: [EventStreamService, WorkerService],
  publish: [PublisherService],
  jobs: [JobService],
};

/** A route of each service, and the status that shows that it is there. */
const routes: readonly (readonly [ServiceName, string, string, number])[] = [
  ["observe", "GET", "/v1/workers", 200],
  ["observe", "GET", "/v1/workers/none", 404],
  ["observe", "GET", "/v1/workers/none/events", 404],
  ["observe", "GET", "/v1/jobs/none/events", 404],
  ["observe", "GET", "/v1/events?cursor=nonsense", 400],
  ["jobs", "GET", "/v1/jobs", 200],
  ["jobs", "POST", "/v1/jobs", 400],
  ["jobs", "GET", "/v1/jobs/none", 404],
  ["jobs", "DELETE", "/v1/jobs/none", 404],
  ["jobs", "POST", "/v1/jobs/none/start", 404],
];

describe("the services that observe", () => {
  it.each([EventStreamService, WorkerService])("$typeName have no RPC that changes anything", (service) => {
    for (const method of service.methods) {
      expect(method.name).toMatch(/^(?:Watch|List|Get)/);
      // A stream can't say so: Connect would serve it by GET.
      if (method.methodKind === "unary") {
        expect(method.idempotency).toBe(MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS);
      } else {
        expect(method.methodKind).toBe("server_streaming");
      }
    }
  });

  it("change nothing when they are called", async () => {
    const { runtime, server } = await serve({ services: ["observe"] });
    const before = runtime.log.bounds({ kind: "runtime" }).head.sequence;
    const transport = createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" });
    for (const service of rpcs.observe) {
      const client = createClient(service, transport) as unknown as Record<string, (message: object) => unknown>;
      for (const { localName, methodKind, input } of service.methods) {
        expect(isMessage({ $typeName: input.typeName }, input)).toBe(true);
        const answer = client[localName]?.({});
        if (methodKind === "unary") await Promise.resolve(answer).catch(() => undefined);
        else for await (const _ of answer as AsyncIterable<unknown>) break;
      }
    }
    expect(runtime.log.bounds({ kind: "runtime" }).head.sequence).toBe(before);
  });
});

describe.each(serviceNames)("a server of %s alone", (name) => {
  it.each([
    ["Connect", (url: string) => createConnectTransport({ baseUrl: url, httpVersion: "1.1" })],
    ["gRPC", (url: string) => createGrpcTransport({ baseUrl: url })],
    ["gRPC-Web", (url: string) => createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1" })],
  ])("has no other RPC over %s", async (_protocol, transportTo) => {
    const { server } = await serve({ services: [name] });
    const transport = transportTo(server.url);
    for (const other of serviceNames) {
      for (const service of rpcs[other]) {
        const client = createClient(service, transport) as unknown as Record<string, (message: object) => unknown>;
        for (const { localName, methodKind } of service.methods) {
          const answer = client[localName]?.({});
          const code = await codeOf(methodKind === "unary" ? answer : firstOf(answer as AsyncIterable<unknown>));
          if (other === name) expect(code).not.toBe(Code.Unimplemented);
          else expect(code).toBe(Code.Unimplemented);
        }
      }
    }
  });

  it("has no other route, and says so in its document", async () => {
    const { server } = await serve({ services: [name] });
    const { paths } = (await request("GET", `${server.url}/openapi.json`)).body;
    for (const [service, method, path, status] of routes) {
      const answer = await request(method, server.url + path, method === "POST" ? {} : undefined);
      const isThere = answer.body?.diagnostic !== undefined || answer.status === 200;
      expect([path, answer.status, isThere]).toEqual([path, service === name ? status : 404, service === name]);
      const pattern = path
        .split("?", 1)[0]
        ?.replace("none", service === "observe" && path.includes("workers") ? "{worker_id}" : "{job_id}");
      expect(paths[pattern as string]?.[method.toLowerCase()] !== undefined).toBe(service === name);
    }
    for (const path of ["/healthz", "/readyz"]) expect((await request("GET", server.url + path)).status).toBe(200);
  });
});

describe("two servers of one runtime", () => {
  it("keep watching and commands on different ports", async () => {
    const { runtime, server: commands } = await serve({ services: ["jobs", "publish"] });
    registerOperations(runtime);
    const { server: observation } = await serve({ runtime, services: ["observe"] });
    const jobId = await submit(commands.url, { operation: "tell", params: { texts: ["seen"] } });
    const watch = await openSse(`${observation.url}/v1/jobs/${jobId}/events`);
    const messages = await watch.rest();
    expect(
      messages.filter(({ event }) => event === "narration").map(({ data }) => JSON.parse(data).narration.message),
    ).toContain("seen");
    expect((await request("GET", `${observation.url}/v1/jobs/${jobId}`)).status).toBe(404);
    // The URL that a submit answers with works where the submit did.
    const stream = await openSse(`${commands.url}/v1/jobs/${jobId}/stream`);
    expect((await stream.rest()).at(-1)?.data).toBe("[DONE]");
    expect(runtime.advertised).toBe(commands.url);
  });

  it("close one after the other: what the other serves goes on", async () => {
    const { runtime, server: commands } = await serve({ services: ["jobs", "publish"] });
    const { running, release } = registerOperations(runtime);
    const { server: observation } = await serve({ runtime, services: ["observe"] });
    const jobId = await submit(commands.url, { operation: "hold" });
    await running(jobId);
    const closing = await openSse(`${observation.url}/v1/jobs/${jobId}/events`);
    const client = createClient(EventStreamService, createGrpcTransport({ baseUrl: observation.url }));
    const watched = codeOf(lastOf(client.watchEvents({ jobId })));
    const staying = await openSse(`${commands.url}/v1/jobs/${jobId}/stream`);
    await until(() => runtime.watches === 3, "all to watch");
    await observation.close({ graceMs: 60_000 });
    expect(JSON.parse((await closing.rest()).at(-1)?.data ?? "{}").serverClosing).toBeDefined();
    expect(await watched).toBe(Code.Unavailable);
    expect(runtime.watches).toBe(1);

    const next = await submit(commands.url, { operation: "tell", params: { texts: ["still here"] } });
    expect((await (await openSse(`${commands.url}/v1/jobs/${next}/stream`)).rest()).at(-1)?.data).toBe("[DONE]");
    release(jobId);
    expect((await staying.rest()).at(-1)?.data).toBe("[DONE]");
    await commands.close({ graceMs: 60_000 });
    await expect(runtime.submit("tell", { texts: [] })).rejects.toSatisfy((error) =>
      hasReason(error, "server_closing"),
    );
  });

  it("refuses services that there are not", async () => {
    const { runtime } = await serve();
    for (const services of [[], ["observe", "admin"]] as ServiceName[][]) {
      await expect(createServer({ runtime, listen: "127.0.0.1:0", services })).rejects.toSatisfy(
        (error) => hasReason(error, "invalid_request") && error.details.field === "services",
      );
    }
  });
});

async function codeOf(answer: unknown): Promise<Code | undefined> {
  try {
    await answer;
    return undefined;
  } catch (error) {
    return (error as { code?: Code }).code;
  }
}

async function firstOf(answer: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of answer) return;
}

async function lastOf(answer: AsyncIterable<unknown>): Promise<unknown> {
  let last: unknown;
  for await (const frame of answer) last = frame;
  return last;
}
