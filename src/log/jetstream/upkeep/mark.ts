import type { StreamInfo } from "@nats-io/jetstream";
import { bornNow, type Identity, type KeptIdentity, readIdentity, writeIdentity } from "../bucket/identity.ts";
import type { Meta } from "../bucket/meta.ts";
import type { Fold } from "../fold/fold.ts";
import type { BucketWatch } from "../health/bucket-watch.ts";
import { isNoStream } from "../stream/stream.ts";

export interface MarkParts {
  readonly meta: Meta;
  readonly fold: Fold;
  /** The identity with which the log was opened. */
  readonly kept: KeptIdentity;
  readonly bucket: BucketWatch;
  /** The log can't go on. */
  failed(message: string, cause: unknown): void;
}

/**
 * What the bucket says of the log: of which generation it is, and how far it has come. Sequences are given out by one
 * generation only, so a server ends as soon as it sees that there is another one.
 */
export class Mark {
  readonly #parts: MarkParts;
  #kept: KeptIdentity;

  constructor(parts: MarkParts) {
    this.#parts = parts;
    this.#kept = parts.kept;
  }

  /** As it was when it was read or written last. */
  get identity(): Identity {
    return this.#kept.identity;
  }

  /** Reads it, and lets the log fail where it is of another generation, whoever has begun that. */
  async check(): Promise<void> {
    const { meta, bucket, failed } = this.#parts;
    let found: KeptIdentity | undefined;
    try {
      found = await bucket.ask(() => readIdentity(meta));
    } catch (error) {
      if (!isNoStream(error)) throw error;
      failed("The bucket of the log's stream was deleted. Start the server again: it begins a new generation.", error);
      return;
    }
    if (found?.identity.generation !== this.#kept.identity.generation) {
      failed("The log has begun a new generation. Start the server again.", new Error("other generation"));
    } else {
      this.#kept = found;
    }
  }

  /** Raises it to where the log is. */
  async raise(): Promise<void> {
    const { fold, meta } = this.#parts;
    const highWater = { stream: fold.last, sequence: fold.index.head.sequence };
    // Of two that have the lease by accident one may be behind.
    if (highWater.stream <= this.#kept.identity.highWater.stream) return;
    const written = await writeIdentity(meta, { ...this.#kept.identity, highWater }, this.#kept.revision);
    if (written === undefined) await this.check();
    else this.#kept = written;
  }

  /** Raises it from where it is now: the bucket may have gone back along with the stream. */
  async raiseAnew(): Promise<void> {
    await this.check();
    await this.raise();
  }

  /** Begins a new generation, unless somebody has. */
  async beginAnew(stream: StreamInfo): Promise<void> {
    const { fold, meta } = this.#parts;
    const found = await readIdentity(meta);
    if (found === undefined || found.identity.generation !== this.#kept.identity.generation) return;
    const highWater = {
      stream: fold.last,
      sequence: Math.max(fold.index.head.sequence, found.identity.highWater.sequence),
    };
    await writeIdentity(meta, bornNow(stream, { ...found.identity, highWater }, undefined), found.revision);
  }
}
