import { randomBytes, randomUUID } from "node:crypto";
import type { JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import type { Meta } from "./meta.ts";
import { isWallRaised } from "./wall.ts";

const key = "identity";

/** Where the stream itself says of which runtime it is: the bucket may be deleted, or what it says of the identity. */
const runtimeKey = "tailrace-runtime-id";

/** Sequences that are left out when a log begins anew: more than can have been given out since the mark was raised. */
const skippedSequences = 2 ** 30;

/** What is known of a log apart from its stream, so that a stream that was made again, or restored, is noticed. */
export interface Identity {
  readonly runtimeId: string;
  readonly generation: bigint;
  /** When the stream was made, as the server has it. */
  readonly streamCreated: string;
  /** Sequence of events after which those of this generation begin. */
  readonly baseSequence: number;
  /** The last sequence of the stream when the generation began: up to there messages may be missing. */
  readonly bornAt: number;
  /** The stream and the events had come at least this far. */
  readonly highWater: { readonly stream: number; readonly sequence: number };
  /** Sequence in the stream that a snapshot must hold for a server that could not be opened without. */
  readonly wanted?: number;
}

/** An identity as the bucket has it. */
export interface KeptIdentity {
  readonly identity: Identity;
  readonly revision: number;
}

export async function readIdentity(meta: Meta): Promise<KeptIdentity | undefined> {
  const entry = await meta.get(key);
  if (entry === undefined) return undefined;
  const fields = JSON.parse(new TextDecoder().decode(entry.value));
  return { identity: { ...fields, generation: BigInt(`0x${fields.generation}`) }, revision: entry.revision };
}

/** Replaces the identity. Undefined: somebody else was first. */
export async function writeIdentity(
  meta: Meta,
  identity: Identity,
  revision: number | undefined,
): Promise<KeptIdentity | undefined> {
  const text = JSON.stringify({ ...identity, generation: identity.generation.toString(16).padStart(16, "0") });
  const written = await meta.swap(key, new TextEncoder().encode(text), revision);
  return written === undefined ? undefined : { identity, revision: written };
}

/** Whether a stream still is the one that the identity was last seen with, or a continuation of it. */
export function fits(identity: Identity, stream: StreamInfo): boolean {
  return stream.created === identity.streamCreated && stream.state.last_seq >= identity.highWater.stream;
}

/**
 * An identity of a stream that is new, or not what it was: nothing that was told of `before` may be taken for true. Where
 * nothing is known of before, the stream says of which runtime it is.
 * @param runtimeId for a stream that does not say it. Default: a random one.
 */
export function bornNow(stream: StreamInfo, before: Identity | undefined, runtimeId: string | undefined): Identity {
  const { last_seq: bornAt } = stream.state;
  return {
    runtimeId: before?.runtimeId ?? stream.config.metadata?.[runtimeKey] ?? runtimeId ?? randomUUID(),
    generation: randomBytes(8).readBigUInt64BE(),
    streamCreated: stream.created,
    baseSequence: before === undefined ? 0 : before.highWater.sequence + skippedSequences,
    bornAt,
    highWater: { stream: bornAt, sequence: before?.highWater.sequence ?? 0 },
  };
}

/** Lets the stream say of which runtime it is, if it does not. Settles also if that failed: the next one to open it tries again. */
export async function noteRuntime(manager: JetStreamManager, { config }: StreamInfo, runtimeId: string): Promise<void> {
  // While the limit is raised the metadata changes under this.
  if (config.metadata?.[runtimeKey] === runtimeId || isWallRaised(config)) return;
  const metadata = { ...config.metadata, [runtimeKey]: runtimeId };
  await manager.streams.update(config.name, { metadata }).catch(() => undefined);
}
