import { randomBytes } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { resolveRetention } from "../../../src/log/index/retention.ts";
import { Fold } from "../../../src/log/jetstream/fold/fold.ts";
import { streamOf } from "../../../src/log/jetstream/stream/subjects.ts";

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

/** A fold of everything that the stream of a namespace has now. */
export async function foldOf(url: string, namespace: string): Promise<Fold> {
  const fold = new Fold(resolveRetention(), 0, 0);
  await asOperator(url, async (manager) => {
    for (let seq = 1; seq <= (await manager.streams.info(streamOf(namespace))).state.last_seq; seq++) {
      const message = await manager.streams.getMessage(streamOf(namespace), { seq });
      if (message === null) throw new Error(`message ${seq} is gone`);
      fold.take({ sequence: seq, timeMs: message.time.getTime(), payload: message.data }, () => undefined);
    }
  });
  return fold;
}
