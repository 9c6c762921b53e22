import {
  DiscardPolicy,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamInfo,
} from "@nats-io/jetstream";
import { apiCodeOf, type ConfigDifference, lowestMaxPayload, otherConfiguration } from "./errors.ts";
import { streamOf, subjectsOf } from "./subjects.ts";
import { wallOf } from "./wall.ts";

/** Error code of JetStream for a stream that does not exist. */
const streamNotFound = 10059;

/** Settings that are left to the server when a stream is made, of which one that was made by others may have a wrong value. */
const suitable: Readonly<Record<string, { wanted: unknown; isFit: (value: unknown) => boolean }>> = {
  max_msg_size: { wanted: -1, isFit: (bytes = -1) => Number(bytes) <= 0 || Number(bytes) >= lowestMaxPayload },
  deny_delete: { wanted: false, isFit: (isDenied) => isDenied !== true },
  deny_purge: { wanted: false, isFit: (isDenied) => isDenied !== true },
  // It acknowledges what a kill of the server loses.
  persist_mode: { wanted: "default", isFit: (mode) => mode !== "async" },
};

export interface StreamOptions {
  readonly namespace: string;
  /** Servers that hold each message. */
  readonly replicas: number;
  /** Bytes that the stream may have, a wall that appends meet. Undefined: what the server allows. */
  readonly maxBytes: number | undefined;
}

/**
 * The stream of a namespace, made if it does not exist. What is there is read back: a server that does not know a setting
 * leaves it out without a word.
 *
 * @throws TailraceError `log_open_failed` for a stream with another configuration, and what the client throws.
 */
export async function ensureStream(manager: JetStreamManager, options: StreamOptions): Promise<StreamInfo> {
  const name = streamOf(options.namespace);
  const wanted = {
    subjects: [subjectsOf(options.namespace)],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    // Its own limits must never remove anything: only Tailrace knows what may go.
    discard: DiscardPolicy.New,
    max_age: 0,
    max_msgs: -1,
    max_msgs_per_subject: -1,
    allow_atomic: true,
    allow_direct: true,
    num_replicas: options.replicas,
    ...(options.maxBytes === undefined ? {} : { max_bytes: options.maxBytes }),
  };
  const info = await findStream(manager, name);
  // Whoever makes it at the same time makes the same.
  const made = info ?? (await manager.streams.add({ name, ...wanted }));
  const found: Record<string, unknown> = { ...made.config, max_bytes: wallOf(made.config) };
  const differences: ConfigDifference[] = Object.entries(wanted)
    .filter(([setting, value]) => JSON.stringify(found[setting]) !== JSON.stringify(value))
    .map(([setting, value]) => ({ name: setting, wanted: value, found: found[setting] }));
  for (const [name, { wanted, isFit }] of Object.entries(suitable)) {
    if (!isFit(found[name])) differences.push({ name, wanted, found: found[name] });
  }
  if (differences.length > 0) throw otherConfiguration(name, differences);
  return made;
}

export async function findStream(manager: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(name);
  } catch (error) {
    if (apiCodeOf(error) === streamNotFound) return undefined;
    throw error;
  }
}
