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

/** What is known of the stream beside it: identity, lease and snapshots, in a bucket. Writes compare. */
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

  /** What the leader has: other replicas may be behind, and an old snapshot would be taken for one with a hole after it. */
  async get(key: string): Promise<MetaEntry | undefined> {
    const found = await this.#manager.streams.getMessage(`KV_${this.#name}`, {
      last_by_subj: `$KV.${this.#name}.${key}`,
    });
    if (found === null || (found.header?.get("KV-Operation") ?? "") !== "") return undefined;
    return { value: found.data, revision: found.seq };
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
