import { JetStreamApiCodes, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { apiCodeOf } from "./errors.ts";
import { bucketOf } from "./subjects.ts";

/** A value with the revision by which it is replaced. */
export interface MetaEntry {
  readonly value: Uint8Array;
  readonly revision: number;
}

/** What is known of the stream beside it: identity, lease and snapshots, in a bucket. Reads may be old; writes compare. */
export class Meta {
  readonly #bucket: KV;
  readonly #manager: JetStreamManager;

  readonly #name: string;

  private constructor(name: string, bucket: KV, manager: JetStreamManager) {
    this.#name = name;
    this.#bucket = bucket;
    this.#manager = manager;
  }

  static async open(connection: NatsConnection, namespace: string, replicas: number): Promise<Meta> {
    const name = bucketOf(namespace);
    const bucket = await new Kvm(connection).create(name, { history: 1, replicas });
    return new Meta(name, bucket, await jetstreamManager(connection));
  }

  async get(key: string): Promise<MetaEntry | undefined> {
    const entry = await this.#bucket.get(key);
    return entry === null || entry.operation !== "PUT" ? undefined : { value: entry.value, revision: entry.revision };
  }

  /** Replaces a value, or (`revision` undefined) makes it. Gives the new revision; undefined: somebody else was first. */
  async swap(key: string, value: Uint8Array, revision: number | undefined): Promise<number | undefined> {
    try {
      if (revision === undefined) return await this.#bucket.create(key, value);
      return await this.#bucket.update(key, value, revision);
    } catch (error) {
      const code = apiCodeOf(error);
      if (code === JetStreamApiCodes.StreamWrongLastSequence) return undefined;
      if (code === JetStreamApiCodes.StreamWrongLastSequenceUnknown) return undefined;
      throw error;
    }
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.#bucket.put(key, value);
  }

  /** Removes a value, if it is still that of `revision`. That it was there is kept, for whoever compares. */
  async remove(key: string, revision: number): Promise<void> {
    await this.#bucket.purge(key, { previousSeq: revision });
  }

  /** Removes everything below a key without a trace. */
  async clear(key: string): Promise<void> {
    await this.#manager.streams.purge(`KV_${this.#name}`, { filter: `$KV.${this.#name}.${key}.>` });
  }
}
