import type { Contender, ScenarioName, StartRequest, Watching } from "./contract.ts";
import { startNodeServer, watchService } from "./node-peers.ts";

const publishPath = "/tailrace.v1.PublisherService/PublishEvents";

// Several producers with batches, as collectors of output send them; and one producer with one event.
const appends = {
  batches: ["--publish-connections", "8", "--publish-batch", "500"],
  "one at a time": ["--publish-connections", "1", "--publish-batch", "1"],
};

function publishing(more: readonly string[]): readonly string[] {
  return ["--publisher", "connect", "--publish-path", publishPath, "--publish-inflight", "1", ...more];
}

type Edge = "connect-h1" | "connect-h2c" | "grpc" | "sse";

function watchEdge(edge: Edge, watching: Watching): readonly string[] {
  if (edge !== "sse") return watchService(edge, watching);
  const path = watching.workers === true ? "/v1/workers/bench-%d/events" : "/v1/events";
  return ["--protocol", "sse", "--path", `${path}?start_at=${watching.earliest === true ? "earliest" : "latest"}`];
}

interface Variant {
  readonly name: string;
  readonly title: string;
  readonly edge: Edge;
  readonly scenarios: readonly ScenarioName[];
  readonly log?: "embedded";
  readonly durability?: "fsync" | "process";
}

function ours(variant: Variant): Contender {
  const { log } = variant;
  return {
    name: variant.name,
    title: variant.title,
    scenarios: variant.scenarios,
    missing: () => undefined,
    start: (request: StartRequest) =>
      startNodeServer(
        "ours.ts",
        request,
        log === undefined ? [] : ["--data", request.diskDirectory, "--durability", variant.durability ?? "fsync"],
      ),
    watch: (watching) => watchEdge(variant.edge, watching),
    appends: { batches: publishing(appends.batches), "one at a time": publishing(appends["one at a time"]) },
    restartBeforeReplay: log !== undefined,
  };
}

const live: readonly ScenarioName[] = ["fanout", "open-loop", "single", "replay", "idle", "stalled", "workers"];

export const ourContenders: readonly Contender[] = [
  ours({
    name: "ours-h1",
    title: "tailrace, Connect h1",
    edge: "connect-h1",
    scenarios: [...live, "append", "interference", "client"],
  }),
  ours({
    name: "ours-process",
    title: "tailrace, Connect h1, embedded log, process",
    edge: "connect-h1",
    log: "embedded",
    durability: "process",
    scenarios: ["fanout", "open-loop", "single", "append"],
  }),
  ours({
    name: "ours-fsync",
    title: "tailrace, Connect h1, embedded log, fsync",
    edge: "connect-h1",
    log: "embedded",
    durability: "fsync",
    scenarios: ["fanout", "single", "replay", "append", "interference", "client"],
  }),
  ours({ name: "ours-h2c", title: "tailrace, Connect h2c", edge: "connect-h2c", scenarios: live }),
  ours({ name: "ours-grpc", title: "tailrace, gRPC", edge: "grpc", scenarios: live }),
  ours({ name: "ours-sse", title: "tailrace, SSE", edge: "sse", scenarios: [...live, "interference"] }),
];
