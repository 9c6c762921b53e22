import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsProcess } from "./nats-process.ts";

/** The server of a cluster that leads a stream now. @throws if there is none. */
export async function leaderOf(servers: readonly NatsProcess[], stream: string): Promise<NatsProcess> {
  const connection = await connect({ servers: servers.map(({ url }) => url) });
  try {
    const info = await (await jetstreamManager(connection)).streams.info(stream);
    const leader = servers.find(({ name }) => name === info.cluster?.leader);
    if (leader === undefined) throw new Error(`${stream} has no leader now`);
    return leader;
  } finally {
    await connection.close();
  }
}
