import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream";
import { lowestMaxPayload } from "../errors.ts";
import { bucketStreamOf, bucketSubjectsOf, streamOf, subjectsOf } from "./subjects.ts";
import { wallOf } from "./wall.ts";

export interface StreamOptions {
  readonly namespace: string;
  /** Servers that hold each message. Undefined, for streams that exist: as many as do. */
  readonly replicas: number | undefined;
  /** Bytes that the stream may have, a wall that appends meet. Undefined: what the server allows, or the stream that exists. */
  readonly maxBytes: number | undefined;
}

/** How a stream of a log must be. */
export interface Settings {
  readonly stream: string;
  /** What it is made with, of which none may have another value. */
  readonly made: Readonly<Record<string, unknown>>;
  /** What is left to the server when it is made, of which one that was made or changed by others may have a wrong value. */
  readonly suitable: Readonly<Record<string, Suitable>>;
}

interface Suitable {
  /** Undefined: it must not be set. */
  readonly wanted: unknown;
  isFit(value: unknown): boolean;
}

/** How a setting differs from what the log needs. Values are as the server's configuration has them. */
export interface ConfigDifference {
  readonly name: string;
  readonly wanted: unknown;
  readonly found: unknown;
}

const unset: Suitable = {
  wanted: undefined,
  isFit: (value) => value === undefined || value === null || Object.keys(value).length === 0,
};
const off: Suitable = { wanted: false, isFit: (value) => value !== true };
const unlimited: Suitable = { wanted: -1, isFit: (value = -1) => Number(value) <= 0 };

/** Of both streams. */
const made = {
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  // Its own limits must never remove anything: only Tailrace knows what may go.
  discard: DiscardPolicy.New,
  max_age: 0,
  max_msgs: -1,
  allow_direct: true,
};
const suitable: Settings["suitable"] = {
  max_msg_size: { wanted: -1, isFit: (bytes = -1) => Number(bytes) <= 0 || Number(bytes) >= lowestMaxPayload },
  deny_purge: off,
  sealed: off,
  // Nothing would say whether something was written.
  no_ack: off,
  // It acknowledges what a kill of the server loses.
  persist_mode: { wanted: "default", isFit: (mode) => mode !== "async" },
  // What is written would be elsewhere, and what others write would be among it.
  subject_transform: unset,
  sources: unset,
  mirror: unset,
};

/** Of the stream that has the events. */
export function logSettings({ namespace, replicas, maxBytes }: StreamOptions): Settings {
  return {
    stream: streamOf(namespace),
    made: {
      ...made,
      subjects: [subjectsOf(namespace)],
      max_msgs_per_subject: -1,
      allow_atomic: true,
      ...replicated(replicas),
      ...(maxBytes === undefined ? {} : { max_bytes: maxBytes }),
    },
    suitable: {
      ...suitable,
      deny_delete: off,
      // Every server has a consumer for its tail, and asks for what that needs.
      max_consumers: unlimited,
      consumer_limits: unset,
    },
  };
}

/** Of the stream below the bucket, which is made as the client makes one. */
export function bucketSettings({ namespace, replicas }: StreamOptions): Settings {
  return {
    stream: bucketStreamOf(namespace),
    made: {
      ...made,
      subjects: [bucketSubjectsOf(namespace)],
      max_msgs_per_subject: 1,
      max_bytes: -1,
      // A key is removed by one.
      allow_rollup_hdrs: true,
      ...replicated(replicas),
    },
    suitable,
  };
}

function replicated(replicas: number | undefined): Settings["made"] {
  return replicas === undefined ? {} : { num_replicas: replicas };
}

export function differencesOf(config: StreamConfig, settings: Settings): readonly ConfigDifference[] {
  const found: Record<string, unknown> = { ...config, max_bytes: wallOf(config) };
  const differences: ConfigDifference[] = Object.entries(settings.made)
    .filter(([name, wanted]) => JSON.stringify(found[name]) !== JSON.stringify(wanted))
    .map(([name, wanted]) => ({ name, wanted, found: found[name] }));
  for (const [name, { wanted, isFit }] of Object.entries(settings.suitable)) {
    if (!isFit(found[name])) differences.push({ name, wanted, found: found[name] });
  }
  return differences;
}
