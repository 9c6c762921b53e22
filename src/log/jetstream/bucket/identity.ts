import { randomBytes, randomUUID } from "node:crypto";
import type { JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import { isWallRaised } from "../stream/wall.ts";
import type { Meta } from "./meta.ts";

const key = "identity";

/** Where the stream itself says of which runtime it is: the bucket may be deleted, or what it says of the identity. */
const runtimeKey = "tailrace-runtime-id";

/** And after which sequence the events of its generation begin. */
const baseKey = "tailrace-base-sequence";

/**
 * Where the mark is lost: events of which a message has fewer on average, and sequences that are left out for them at the most,
 * since a cursor has room for 2^48 in all.
 */
const eventsPerMessage = 256;
const maxUnmarked = 2 ** 36;

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
  const noted = stream.config.metadata ?? {};
  // Nobody knows the mark any more, only how many messages there were.
  const unmarked = Number(noted[baseKey] ?? 0) + Math.min(bornAt * eventsPerMessage, maxUnmarked);
  const isFirst = before === undefined && noted[runtimeKey] === undefined;
  const baseSequence = isFirst ? 0 : (before?.highWater.sequence ?? unmarked) + skippedSequences;
  return {
    runtimeId: before?.runtimeId ?? noted[runtimeKey] ?? runtimeId ?? randomUUID(),
    generation: randomBytes(8).readBigUInt64BE(),
    streamCreated: stream.created,
    baseSequence,
    bornAt,
    highWater: { stream: bornAt, sequence: before?.highWater.sequence ?? baseSequence },
  };
}

/** Lets the stream say whose it is, if it does not. Settles also if that failed: who looks after the stream tries again. */
export async function noteIdentity(
  manager: JetStreamManager,
  { config }: StreamInfo,
  { runtimeId, baseSequence }: Identity,
): Promise<void> {
  const noted = { [runtimeKey]: runtimeId, [baseKey]: String(baseSequence) };
  const isNoted = Object.entries(noted).every(([key, value]) => config.metadata?.[key] === value);
  // While the limit is raised the metadata changes under this.
  if (isNoted || isWallRaised(config)) return;
  // With the limit, which another server may have raised meanwhile: what is set here does not say that it is.
  const { max_bytes, metadata } = config;
  await manager.streams.update(config.name, { max_bytes, metadata: { ...metadata, ...noted } }).catch(() => undefined);
}
