import { setTimeout as delay } from "node:timers/promises";
import type { NatsProcess } from "../../support/nats-process.ts";
import { eventually } from "../../support/until.ts";
import type { Cluster } from "../support/cluster.ts";
import type { Server } from "../support/server.ts";

/** What a fault is done with. */
export interface FaultWorld {
  readonly cluster: Cluster;
  /** Servers that may end. The one that is spared shows what an hour does to one process. */
  readonly mortal: readonly Server[];
  /** Gives one of several by chance. */
  choose<T>(of: readonly T[]): T;
}

export interface FaultKind {
  readonly name: string;
  /** Milliseconds for which the fault lasts. */
  readonly lastsMs: number;
  /** Does it, and undoes it after `lastsMs`. Gives whom it hit. @throws what must not happen. */
  run(world: FaultWorld, lastsMs: number): Promise<string>;
}

/** A fault that hits something and leaves it after a while. */
function lasting<T extends { readonly name: string }>(
  name: string,
  lastsMs: number,
  target: (world: FaultWorld) => T | Promise<T>,
  begin: (target: T) => unknown,
  end: (target: T) => unknown,
): FaultKind {
  return {
    name,
    lastsMs,
    async run(world, ms) {
      const hit = await target(world);
      await begin(hit);
      await delay(ms);
      await end(hit);
      return hit.name;
    },
  };
}

const anyServer = ({ cluster, choose }: FaultWorld): Server => choose(cluster.servers);
const mortalServer = ({ mortal, choose }: FaultWorld): Server => choose(mortal);
const anyNode = ({ cluster, choose }: FaultWorld): NatsProcess => choose(cluster.nats);
const leader = ({ cluster }: FaultWorld): Promise<NatsProcess> => eventually(() => cluster.leader());

async function stopInOrder(server: Server): Promise<void> {
  const code = await server.stop();
  if (code !== 0) throw new Error(`${server.name} ended with ${code} when it was told to stop`);
}

/** Everything that is done to a cluster. */
export const faultKinds: readonly FaultKind[] = [
  lasting(
    "server killed",
    5_000,
    mortalServer,
    (server) => server.kill(),
    (server) => server.start(),
  ),
  lasting("server restarted", 2_000, mortalServer, stopInOrder, (server) => server.start()),
  lasting(
    "server paused",
    20_000,
    mortalServer,
    (server) => server.pause(),
    (server) => server.resume(),
  ),
  lasting(
    "server cut off from NATS",
    20_000,
    anyServer,
    (server) => server.loseNats(),
    (server) => server.healNats(),
  ),
  lasting(
    "server not heard by NATS",
    20_000,
    anyServer,
    (server) => server.loseNats("to server"),
    (server) => server.healNats(),
  ),
  lasting(
    "server does not hear NATS",
    20_000,
    anyServer,
    (server) => server.loseNats("to client"),
    (server) => server.healNats(),
  ),
  lasting(
    "server refused by NATS for a minute",
    60_000,
    anyServer,
    (server) => server.refuseNats(),
    (server) => server.healNats(),
  ),
  lasting(
    "NATS node killed",
    10_000,
    anyNode,
    (node) => node.kill(),
    (node) => node.start(),
  ),
  lasting(
    "leader of the stream killed",
    10_000,
    leader,
    (node) => node.kill(),
    (node) => node.start(),
  ),
  lasting(
    "NATS node paused",
    20_000,
    anyNode,
    (node) => node.pause(),
    (node) => node.resume(),
  ),
  lasting(
    "leader of the stream paused",
    20_000,
    leader,
    (node) => node.pause(),
    (node) => node.resume(),
  ),
  {
    name: "all of NATS gone for a minute",
    lastsMs: 60_000,
    async run({ cluster: { nats } }, lastsMs) {
      await Promise.all(nats.map((node) => node.kill()));
      await delay(lastsMs);
      // A node alone is not ready: it needs another one to elect a leader with.
      await Promise.all(nats.map((node) => node.start()));
      return "all";
    },
  },
];
