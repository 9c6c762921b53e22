import { limits } from "../../../base/limits.ts";
import { isSameServer } from "../stream/writer-name.ts";

/** Who put a key. */
export interface Put {
  /** Sequence in the stream. */
  readonly at: number;
  readonly writer: string;
  /** Number of the append among those of its server. */
  readonly number: number;
}

/** An append, and what it depends on. */
export interface Dependent {
  readonly writer: string;
  /** Up to where in the stream its writer had seen everything. */
  readonly base: number;
  /** Number of the append of the same server that is to have put a key last, by key. */
  readonly after?: ReadonlyMap<string, number>;
}

/** Who put which key of the state last, so that a writer that did not know of it does not put it again. */
export class Puts {
  /** Oldest first. */
  readonly #puts = new Map<string, Put>();
  /** Highest sequence in the stream of a put that is not remembered any more. */
  #floor = 0;

  get floor(): number {
    return this.#floor;
  }

  entries(): Iterable<readonly [string, Put]> {
    return this.#puts;
  }

  get size(): number {
    return this.#puts.size;
  }

  restore(floor: number, puts: Iterable<readonly [string, Put]>): void {
    this.#floor = floor;
    for (const [key, put] of puts) this.#puts.set(key, put);
  }

  /** Whether the writer of an append did not know who put one of the keys last. */
  conflict(keys: Iterable<string>, { writer, base, after }: Dependent): boolean {
    for (const key of keys) {
      const put = this.#puts.get(key);
      const own = after?.get(key);
      if (own !== undefined) {
        // In whichever life: appends of a server are numbered through all of them.
        if (put?.number !== own || !isSameServer(put.writer, writer)) return true;
      } else if (put === undefined ? base < this.#floor : put.at > base && put.writer !== writer) return true;
    }
    return false;
  }

  note(keys: Iterable<string>, put: Put): void {
    for (const key of keys) {
      this.#puts.delete(key);
      this.#puts.set(key, put);
    }
    for (const [key, oldest] of this.#puts) {
      if (this.#puts.size <= limits.natsRememberedKeys) return;
      this.#floor = oldest.at;
      this.#puts.delete(key);
    }
  }
}
