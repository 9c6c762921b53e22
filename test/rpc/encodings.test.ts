import { gzipSync } from "node:zlib";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { EventStreamService } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { type RpcServing, serveRpc } from "./serving.ts";

const compressing = { sendCompression: compressionGzip, compressMinBytes: 0 };

/** Clients that compress, and what they say so in: in a unary call and in a stream. */
const clients: readonly (readonly [string, (serving: RpcServing) => Transport, string, string])[] = [
  [
    "Connect",
    ({ h1 }) => createConnectTransport({ baseUrl: h1, httpVersion: "1.1", ...compressing }),
    "content-encoding",
    "connect-content-encoding",
  ],
  [
    "Connect JSON by GET",
    ({ h1 }) =>
      createConnectTransport({
        baseUrl: h1,
        httpVersion: "1.1",
        useHttpGet: true,
        useBinaryFormat: false,
        ...compressing,
      }),
    "compression",
    "connect-content-encoding",
  ],
  ["gRPC", ({ h2 }) => createGrpcTransport({ baseUrl: h2, ...compressing }), "grpc-encoding", "grpc-encoding"],
  [
    "gRPC-Web",
    ({ h1 }) => createGrpcWebTransport({ baseUrl: h1, httpVersion: "1.1", ...compressing }),
    "grpc-encoding",
    "grpc-encoding",
  ],
];

async function refusalOf(call: Promise<unknown>): Promise<readonly [Code, string | undefined]> {
  const error = ConnectError.from(
    await call.then(
      () => new Error("it was answered"),
      (reason: unknown) => reason,
    ),
  );
  const [diagnostic] = error.findDetails(StreamDiagnosticSchema);
  return [error.code, diagnostic?.reason.case === "invalidRequest" ? diagnostic.reason.value.field : undefined];
}

describe("what a client compresses", () => {
  test.each(clients)("over %s is refused by the code of the protocol, with a diagnostic", async (...row) => {
    const [, transportTo, unaryHeader, streamHeader] = row;
    const transport = transportTo(await serveRpc());
    const unary = createClient(WorkerService, transport).listWorkers({ pageSize: 5 });
    expect(await refusalOf(unary)).toEqual([Code.Unimplemented, unaryHeader]);
    const stream = createClient(EventStreamService, transport).watchEvents({ workerIds: ["w"] });
    const first = stream[Symbol.asyncIterator]().next();
    expect(await refusalOf(first)).toEqual([Code.Unimplemented, streamHeader]);
  });

  test.each([
    ["WorkerService/ListWorkers", "application/json", gzipSync("{}")],
    ["WorkerService/ListWorkers", "application/json", "{}"],
    ["WorkerService/ListWorkers", "application/proto", ""],
    ["EventStreamService/WatchEvents", "application/connect+json", Buffer.from("00000000027b7d", "hex")],
  ])("is 415 in HTTP, which says what is read: %s as %s", async (method, type, body) => {
    const { h1 } = await serveRpc();
    const answer = await fetch(`${h1}/tailrace.v1.${method}`, {
      method: "POST",
      headers: { "content-type": type, "content-encoding": "gzip" },
      body,
    });
    expect([answer.status, answer.headers.get("accept-encoding")]).toEqual([415, "identity"]);
    const { code, message, details } = (await answer.json()) as { code: string; message: string; details: object[] };
    expect([code, details]).toEqual([
      "unimplemented",
      [expect.objectContaining({ type: "tailrace.v1.StreamDiagnostic" })],
    ]);
    expect(message).toMatch(/^content-encoding: /);
  });

  test("may be said to be as it is", async () => {
    const { h1 } = await serveRpc();
    const headers = { "content-type": "application/json", "content-encoding": "identity" };
    const init = { method: "POST", headers, body: "{}" };
    expect((await fetch(`${h1}/tailrace.v1.WorkerService/ListWorkers`, init)).status).toBe(200);
  });
});

describe("a deadline that is none", () => {
  test.each([
    ["application/json", "connect-timeout-ms"],
    ["application/proto", "connect-timeout-ms"],
  ])("is refused by the name of its header: %s", async (type, header) => {
    const { h1 } = await serveRpc();
    const answer = await fetch(`${h1}/tailrace.v1.WorkerService/ListWorkers`, {
      method: "POST",
      headers: { "content-type": type, [header]: "soon" },
      body: type.endsWith("json") ? "{}" : "",
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      code: "invalid_argument",
      details: [{ debug: { invalidRequest: { field: header } } }],
    });
  });
});
