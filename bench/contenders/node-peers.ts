import { join } from "node:path";
import { nodeArguments } from "../harness/node.ts";
import { ServerProcess, serverCore } from "../harness/server-process.ts";
import type { Contender, RunningServer, ScenarioName, StartRequest, Watching } from "./contract.ts";

const watchPath = "/tailrace.v1.EventStreamService/WatchEvents";

/** Starts a server of bench/servers under the Node that runs the benchmark. */
export async function startNodeServer(
  file: string,
  request: StartRequest,
  more: readonly string[] = [],
  core = serverCore,
): Promise<RunningServer & { readonly commands: ServerProcess }> {
  const commands = new ServerProcess(
    process.execPath,
    [
      ...nodeArguments,
      "--expose-gc",
      join(import.meta.dirname, "../servers", file),
      "--progress",
      request.progressFile,
      ...(request.retainEvents === undefined ? [] : ["--retain", String(request.retainEvents)]),
      ...more,
    ],
    {},
    core,
  );
  const { port } = await commands.ready();
  return { port, pids: [commands.pid], commands, stop: () => commands.stop() };
}

/** How the load client watches a service of tailrace.v1. */
export function watchService(protocol: "connect-h1" | "connect-h2c" | "grpc", watching: Watching): readonly string[] {
  return [
    "--protocol",
    protocol,
    "--path",
    watchPath,
    ...(watching.workers === true ? ["--worker-prefix", "bench-"] : []),
    ...(watching.earliest === true ? ["--earliest"] : []),
  ];
}

const all: readonly ScenarioName[] = ["fanout", "open-loop", "single", "replay", "idle", "stalled", "workers"];

function plainConnect(name: string, title: string, protocol: "connect-h1" | "connect-h2c" | "grpc"): Contender {
  return {
    name,
    title,
    scenarios: protocol === "connect-h1" ? all : ["fanout", "open-loop", "single", "replay", "idle"],
    burstsAtManyWatchers: true,
    missing: () => undefined,
    start: (request) => startNodeServer("naive.ts", request, ["--http", protocol === "connect-h1" ? "1" : "2"]),
    watch: (watching) => watchService(protocol, watching),
  };
}

export const plainConnectH1 = plainConnect("plain-h1", "plain Connect handler, h1", "connect-h1");
export const plainConnectH2c = plainConnect("plain-h2c", "plain Connect handler, h2c", "connect-h2c");
export const plainGrpc = plainConnect("plain-grpc", "plain Connect handler, gRPC", "grpc");

export const grpcJs: Contender = {
  name: "grpc-js",
  title: "@grpc/grpc-js",
  scenarios: all,
  missing: () => undefined,
  start: (request) => startNodeServer("grpc-js.ts", request),
  watch: (watching) => watchService("grpc", watching),
};

export const betterSse: Contender = {
  name: "better-sse",
  title: "better-sse on express",
  scenarios: all,
  missing: () => undefined,
  start: (request) => startNodeServer("better-sse.ts", request),
  watch: (watching) => [
    "--protocol",
    "sse",
    "--path",
    watching.workers === true
      ? "/workers/bench-%d/events"
      : `/events${watching.earliest === true ? "?start_at=earliest" : ""}`,
  ],
};

export const limit: Contender = {
  name: "limit",
  title: "C server, same bytes (the limit)",
  scenarios: ["fanout", "open-loop", "single"],
  missing: () => undefined,
  async start(request) {
    const commands = new ServerProcess(request.programs.limit, [request.progressFile]);
    const { port } = await commands.ready();
    return { port, pids: [commands.pid], commands, stop: () => commands.stop() };
  },
  watch: (watching) => watchService("connect-h1", watching),
};
