import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { onTestFinished } from "vitest";
import type { Clock } from "../../src/base/clock.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import { createRpcHandler } from "../../src/rpc/handler.ts";
import { Runtime } from "../../src/runtime/runtime.ts";

export { until } from "../support/until.ts";

export interface RpcServing {
  readonly runtime: Runtime;
  /** Base URLs of the same services, over HTTP/1.1 and over HTTP/2 in cleartext. */
  readonly h1: string;
  readonly h2: string;
  /** Sockets that are open at the server. */
  readonly sockets: ReadonlySet<Socket>;
  readonly faults: unknown[];
}

export interface RpcServingOptions {
  readonly clock?: Clock;
  readonly stallTimeoutMs?: number;
  readonly interceptors?: readonly Interceptor[];
  readonly expectFaults?: boolean;
  /** Replaces methods of the runtime. */
  readonly change?: (runtime: Runtime) => void;
}

/** The RPC services of a runtime with a log in memory, until the test ends. */
export async function serveRpc(options: RpcServingOptions = {}): Promise<RpcServing> {
  const faults: unknown[] = [];
  const report = (error: unknown): void => {
    faults.push(error);
  };
  const runtime = new Runtime({ log: new MemoryLog(), onError: report });
  options.change?.(runtime);
  const handler = createRpcHandler({ ...options, runtime, report });
  const sockets = new Set<Socket>();
  const servers: Server[] = [createHttpServer(handler as RequestListener), createHttp2Server(handler)];
  const [h1, h2] = await Promise.all(
    servers.map(async (server) => {
      server.on("connection", (socket: Socket) => {
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    }),
  );
  onTestFinished(async () => {
    await runtime.close();
    for (const socket of sockets) socket.destroy();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    if (options.expectFaults !== true && faults.length > 0) throw new AggregateError(faults, "faults were reported");
  });
  return { runtime, h1: h1 as string, h2: h2 as string, sockets, faults };
}

/** Every way in that clients have. */
export const transports: readonly (readonly [string, (serving: RpcServing) => Transport])[] = [
  ["Connect h1", ({ h1 }) => createConnectTransport({ baseUrl: h1, httpVersion: "1.1" })],
  ["Connect h1 JSON", ({ h1 }) => createConnectTransport({ baseUrl: h1, httpVersion: "1.1", useBinaryFormat: false })],
  ["Connect h2c", ({ h2 }) => createConnectTransport({ baseUrl: h2, httpVersion: "2" })],
  ["Connect h2c JSON", ({ h2 }) => createConnectTransport({ baseUrl: h2, httpVersion: "2", useBinaryFormat: false })],
  ["gRPC h2c", ({ h2 }) => createGrpcTransport({ baseUrl: h2 })],
  ["gRPC h2c JSON", ({ h2 }) => createGrpcTransport({ baseUrl: h2, useBinaryFormat: false })],
  ["gRPC-Web h1", ({ h1 }) => createGrpcWebTransport({ baseUrl: h1, httpVersion: "1.1" })],
  ["gRPC-Web h2c", ({ h2 }) => createGrpcWebTransport({ baseUrl: h2, httpVersion: "2" })],
  ["gRPC-Web h1 JSON", ({ h1 }) => createGrpcWebTransport({ baseUrl: h1, httpVersion: "1.1", useBinaryFormat: false })],
];
