// The log on JetStream and what it is compared with: JetStream itself, on the same nats-server, by its clients.
import { findNatsServer, NatsServer } from "../harness/nats-server.ts";
import { loadCore, serverCore } from "../harness/server-process.ts";
import type { Contender, RunningServer, ScenarioName, StartRequest } from "./contract.ts";
import { startNodeServer, watchService } from "./node-peers.ts";

const publishPath = "/tailrace.v1.PublisherService/PublishEvents";

/** The ways of appending through the wire, with as many events under way for everyone. */
export const appendWays = ["one at a time", "200 at once", "batches of 100, 8 at once"] as const;
type Way = (typeof appendWays)[number];
type Ways = Partial<Record<Way, readonly string[]>>;

function publishing(connections: number, batch: number): readonly string[] {
  return [
    ...["--publisher", "connect", "--publish-path", publishPath, "--publish-inflight", "1"],
    ...["--publish-connections", String(connections), "--publish-batch", String(batch)],
  ];
}

const missing = (): string | undefined => findNatsServer().missing;

function startTailrace(request: StartRequest, nats: NatsServer): Promise<Awaited<ReturnType<typeof startNodeServer>>> {
  const core = request.publishesInside === true ? loadCore : serverCore;
  return startNodeServer("ours.ts", request, ["--nats", nats.url], core);
}

async function startOurs(request: StartRequest, nats: NatsServer): Promise<RunningServer> {
  const first = await startTailrace(request, nats);
  const servers = [first];
  while (servers.length < (request.servers ?? 1)) servers.push(await startTailrace(request, nats));
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
    await nats.stop();
  };
  return {
    port: first.port,
    ports: servers.map(({ port }) => port),
    // The first one publishes, and what comes last is NATS.
    pids: [...servers.flatMap(({ pids }) => pids), nats.pid],
    commands: first.commands,
    diskBytes: () => nats.streamBytes("TAILRACE_bench"),
    stop,
    async restart() {
      for (const { commands } of servers) await commands.ask("close");
      await stop();
      await nats.start();
      return startOurs(request, nats);
    },
  };
}

function ours(name: string, title: string, scenarios: readonly ScenarioName[]): Contender {
  const appends: Ways = {
    "one at a time": publishing(1, 1),
    "200 at once": publishing(200, 1),
    "batches of 100, 8 at once": publishing(8, 100),
  };
  return {
    name,
    title,
    scenarios,
    missing,
    start: async (request) => startOurs(request, await NatsServer.start(request.directory, request.diskDirectory)),
    watch: (watching) => watchService("connect-h1", watching),
    appends,
    appendsInside: true,
  };
}

/** Events that the stream of a raw contender keeps. */
const streamMessages = 600_000;

async function startRaw(request: StartRequest, nats: NatsServer, program: readonly string[]): Promise<RunningServer> {
  const server = { port: nats.port, pids: [nats.pid] };
  const restart = async (): Promise<RunningServer> => {
    await nats.stop();
    await nats.start();
    return startRaw(request, nats, program);
  };
  const inside = request.publishesInside === true;
  if (!inside) return { ...server, restart, stop: () => nats.stop() };
  const publisher = await startNodeServer(
    "jetstream-publisher.ts",
    request,
    ["--nats", nats.url, ...program],
    loadCore,
  );
  return {
    ...server,
    pids: [...publisher.pids, ...server.pids],
    commands: publisher.commands,
    async stop() {
      await publisher.stop();
      await nats.stop();
    },
  };
}

interface Raw {
  readonly name: string;
  readonly title: string;
  readonly scenarios: readonly ScenarioName[];
  readonly appends: Ways;
  /** How its consumers get messages. Default: they are pushed. */
  readonly pulls?: true;
  /** Options of bench/servers/jetstream-publisher.ts; unset: nobody publishes inside. */
  readonly program?: readonly string[];
}

function raw({ name, title, scenarios, appends, pulls, program }: Raw): Contender {
  return {
    name,
    title,
    scenarios,
    missing,
    burstsAtManyWatchers: true,
    async start(request) {
      const nats = await NatsServer.start(request.directory, request.diskDirectory);
      await nats.ask("STREAM.CREATE.bench", {
        name: "bench",
        subjects: ["bench"],
        storage: "file",
        max_msgs: streamMessages,
        num_replicas: 1,
        allow_atomic: true,
      });
      return startRaw(request, nats, program ?? []);
    },
    watch: (watching) => [
      ...["--protocol", pulls === true ? "nats-pull" : "nats-jetstream"],
      ...(watching.earliest === true ? ["--earliest"] : []),
    ],
    publish: () => ["--publisher", "nats-jetstream"],
    appends,
    appendsInside: program !== undefined,
  };
}

const pipelined = (count: number) => ["--publisher", "nats-jetstream", "--publish-inflight", String(count)];
const atomic = ["--publisher", "nats-atomic", "--publish-batch", "100", "--publish-inflight", "8"];

export const jetstreamContenders: readonly Contender[] = [
  ours("ours-jetstream", "tailrace, log in JetStream", [
    ...(["jetstream-append", "jetstream-delivery", "jetstream-replay", "jetstream-slopes", "idle"] as const),
  ]),
  ours("ours-jetstream-singles", "tailrace, log in JetStream, a message for each event", ["jetstream-replay"]),
  raw({
    name: "jetstream",
    title: "JetStream, load client, pushed",
    scenarios: ["jetstream-append", "jetstream-delivery", "jetstream-replay"],
    // What is sent as a batch elsewhere is as many messages at once here.
    appends: {
      "one at a time": pipelined(1),
      "200 at once": pipelined(200),
      "batches of 100, 8 at once": pipelined(800),
    },
  }),
  raw({
    name: "jetstream-pull",
    title: "JetStream, load client, pulled",
    scenarios: ["jetstream-delivery", "jetstream-replay"],
    appends: {},
    pulls: true,
  }),
  raw({
    name: "jetstream-atomic",
    title: "JetStream, load client, atomic batches",
    scenarios: ["jetstream-append"],
    appends: { "batches of 100, 8 at once": atomic },
  }),
  raw({
    name: "jetstream-node",
    title: "JetStream, @nats-io/jetstream",
    scenarios: ["jetstream-append", "jetstream-replay"],
    appends: {},
    program: [],
  }),
  raw({
    name: "jetstream-node-atomic",
    title: "JetStream, @nats-io/jetstream, atomic batches",
    scenarios: ["jetstream-append"],
    appends: {},
    program: ["--atomic"],
  }),
];
