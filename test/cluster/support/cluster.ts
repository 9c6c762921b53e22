import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { streamOf } from "../../../src/log/jetstream/stream/subjects.ts";
import { leaderOf } from "../../support/nats-leader.ts";
import { type NatsProcess, startNatsProcesses } from "../../support/nats-process.ts";
import { Server } from "./server.ts";

export interface ClusterOptions {
  /** For this cluster alone. */
  readonly directory: string;
  /** Servers of Tailrace. Default: 2. */
  readonly servers?: number;
  /** Servers of NATS, each of which has every event. Default: 3. */
  readonly nats?: number;
  /** What their configuration file says besides. Default: nothing. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Further options of `tailrace serve`. */
  readonly args?: readonly string[];
  /** Options of Node for them. Given, they have a channel to this process. Default: none. */
  readonly nodeArgs?: readonly string[];
}

/** Servers of Tailrace on one log in a cluster of NATS, all of them processes. */
export interface Cluster {
  readonly nats: readonly NatsProcess[];
  readonly servers: readonly Server[];
  /** Addresses of all servers of Tailrace. They stay the same. */
  readonly urls: readonly string[];
  /** The server of NATS that leads the stream of the log now. @throws if there is none. */
  leader(): Promise<NatsProcess>;
  /** Ends every process. */
  close(): Promise<void>;
}

/** Starts a cluster and waits until it serves. Whoever opens it closes it. */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const { directory, config = {}, args = [], nodeArgs } = options;
  // A client that was told of other servers would go past its proxies.
  const nats = await startNatsProcesses(options.nats ?? 3, directory, { advertise: false });
  const namespace = `t${randomBytes(6).toString("hex")}`;
  const file = join(directory, "tailrace.json");
  writeFileSync(file, JSON.stringify(config));
  const servers: Server[] = [];
  const close = async (): Promise<void> => {
    await Promise.all([...servers.map((server) => server.close()), ...nats.map((server) => server.kill())]);
  };
  try {
    for (let number = 1; number <= (options.servers ?? 2); number++) {
      const server = await Server.open({
        name: `t${number}`,
        natsPorts: nats.map(({ port }) => port),
        namespace,
        replicas: nats.length,
        args: ["--config", file, ...args],
        ...(nodeArgs && { nodeArgs }),
      });
      servers.push(server);
    }
    // One after the other: the first makes the stream.
    for (const server of servers) await server.start();
  } catch (error) {
    await close();
    throw error;
  }
  const urls = servers.map(({ url }) => url);
  return { nats, servers, urls, leader: () => leaderOf(nats, streamOf(namespace)), close };
}
