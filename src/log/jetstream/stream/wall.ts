import type { JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import { limits } from "../../../base/limits.ts";
import { streamInfo } from "./info.ts";
import { streamOf } from "./subjects.ts";

/** Where the stream itself says what its limit is while that is raised: whoever raised it may have been killed. */
const wallKey = "tailrace-max-bytes";

/** Bytes that appends may fill the stream with, also while its limit is raised. Not positive: there is no limit. */
export function wallOf({ max_bytes, metadata }: Pick<StreamConfig, "max_bytes" | "metadata">): number {
  return Number(metadata?.[wallKey] ?? max_bytes);
}

/** Does something while the stream takes a little more than its limit allows. */
export async function beyondWall<T>(manager: JetStreamManager, namespace: string, act: () => Promise<T>): Promise<T> {
  const stream = streamOf(namespace);
  const { config, state } = await streamInfo(manager, stream);
  const wall = wallOf(config);
  if (wall <= 0) return act();
  await manager.streams.update(stream, {
    // Publishers may have taken all of that when it was raised before, and nothing would be removed ever after.
    max_bytes: Math.max(wall + limits.natsReserveBytes, state.bytes + limits.natsGroupBytes),
    metadata: { ...config.metadata, [wallKey]: String(wall) },
  });
  try {
    return await act();
  } finally {
    await lowerWall(manager, namespace);
  }
}

/** Takes the stream's limit back to what it was, if it is raised. */
export async function lowerWall(manager: JetStreamManager, namespace: string): Promise<void> {
  const { config } = await streamInfo(manager, streamOf(namespace));
  if (config.metadata?.[wallKey] === undefined) return;
  const { [wallKey]: wall, ...metadata } = config.metadata;
  await manager.streams.update(streamOf(namespace), { max_bytes: Number(wall), metadata });
}

/** Whether the stream's limit is raised. */
export function isWallRaised({ metadata }: Pick<StreamConfig, "metadata">): boolean {
  return metadata?.[wallKey] !== undefined;
}
