import { JetStreamApiCodes, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { limits } from "../../../base/limits.ts";
import { apiCodeOf, isNoRoom } from "../errors.ts";
import { streamInfo } from "../stream/info.ts";
import { bucketOf } from "../stream/subjects.ts";

const reserveKey = "reserve";

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

  /** Its stream is there. */
  static async open(connection: NatsConnection, namespace: string): Promise<Meta> {
    const name = bucketOf(namespace);
    const bucket = await new Kvm(connection).open(name, { allow_direct: true });
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

  /**
   * Replaces a value, or (`revision` undefined) makes it. Gives the new revision; undefined: somebody else was first.
   * @param urgent also with the reserve, if there is no other room.
   */
  async swap(
    key: string,
    value: Uint8Array,
    revision: number | undefined,
    urgent = false,
  ): Promise<number | undefined> {
    const write = () =>
      revision === undefined ? this.#bucket.create(key, value) : this.#bucket.update(key, value, revision);
    try {
      return await (urgent ? this.#write(write, 0, 1) : write());
    } catch (error) {
      const code = apiCodeOf(error);
      if (code === JetStreamApiCodes.StreamWrongLastSequence) return undefined;
      if (code === JetStreamApiCodes.StreamWrongLastSequenceUnknown) return undefined;
      throw error;
    }
  }

  /** Sets a value that may be large, with the reserve if there is no other room, but for what is kept for words. */
  async put(key: string, value: Uint8Array): Promise<void> {
    await this.#write(() => this.#bucket.put(key, value), limits.natsReserveForWordsBytes / limits.natsMessageBytes);
  }

  /**
   * Keeps room for when none is left, which takes no write to let go: a full server refuses those, also what has to be
   * written for anything to be removed. Where there is not enough room now it stays as it is.
   * @returns whether none of it is in use.
   */
  async keepReserve(): Promise<boolean> {
    const kept = new Set(await this.keysBelow(reserveKey));
    try {
      for (let i = 0; i < reservePieces(); i++) {
        if (kept.has(String(i))) continue;
        await this.#bucket.put(`${reserveKey}.${i}`, new Uint8Array(limits.natsMessageBytes));
      }
      return true;
    } catch (error) {
      // None at all where all of it never fits: a part would say that it is in use.
      if (kept.size === 0) await this.clear(reserveKey);
      if (!isNoRoom(error)) throw error;
      return kept.size === 0;
    }
  }

  /** Whether some of the reserve is let go of, and some is left. */
  async isReserveInUse(): Promise<boolean> {
    const { length } = await this.keysBelow(reserveKey);
    return length > 0 && length < reservePieces();
  }

  /**
   * Makes a little room with a piece of the reserve, of which others may take some. Gives whether there was one.
   * @param kept pieces that stay.
   */
  async letGoOfReserve(kept = 0): Promise<boolean> {
    const pieces = await this.keysBelow(reserveKey);
    if (pieces.length <= kept) return false;
    await this.#manager.streams.purge(`KV_${this.#name}`, { filter: `$KV.${this.#name}.${reserveKey}.${pieces[0]}` });
    return true;
  }

  /** Keys below a key, without it, in no order. */
  async keysBelow(key: string): Promise<readonly string[]> {
    const prefix = `$KV.${this.#name}.${key}.`;
    const { state } = await streamInfo(this.#manager, `KV_${this.#name}`, { subjects_filter: `${prefix}>` });
    return Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length));
  }

  async #write<T>(write: () => Promise<T>, kept: number, piecesAtMost = reservePieces()): Promise<T> {
    for (let pieces = 0; ; pieces++) {
      try {
        return await write();
      } catch (error) {
        if (!isNoRoom(error) || pieces === piecesAtMost || !(await this.letGoOfReserve(kept))) throw error;
      }
    }
  }

  /**
   * Removes a value, if it is still that of `revision`, with the reserve if there is no other room: that it was there is kept,
   * for whoever compares.
   */
  async remove(key: string, revision: number): Promise<void> {
    await this.#write(() => this.#bucket.purge(key, { previousSeq: revision }), 0, 1);
  }

  /** Removes everything below a key without a trace. */
  async clear(key: string): Promise<void> {
    await this.#manager.streams.purge(`KV_${this.#name}`, { filter: `$KV.${this.#name}.${key}.>` });
  }
}

function reservePieces(): number {
  return Math.ceil(limits.natsReserveBytes / limits.natsMessageBytes);
}
