import { randomBytes } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { streamOf } from "../../../src/log/jetstream/subjects.ts";

/** A namespace that nobody has used. */
export function freshNamespace(): string {
  return `t${randomBytes(6).toString("hex")}`;
}

/** Does something to the streams of a server, as its operator would. */
export async function asOperator<T>(
  url: string,
  act: (manager: Awaited<ReturnType<typeof jetstreamManager>>) => Promise<T>,
): Promise<T> {
  const connection = await connect({ servers: url });
  try {
    return await act(await jetstreamManager(connection));
  } finally {
    await connection.close();
  }
}

export async function deleteStream(url: string, namespace: string): Promise<void> {
  await asOperator(url, (manager) => manager.streams.delete(streamOf(namespace)));
}
