import { limits } from "../../base/limits.ts";

interface Put {
  /** Sequence in the stream. */
  readonly at: number;
  readonly writer: string;
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

  /** Whether somebody else put one of the keys after `base`, up to where `writer` had seen everything. */
  conflict(keys: Iterable<string>, base: number, writer: string): boolean {
    for (const key of keys) {
      const put = this.#puts.get(key);
      if (put === undefined ? base < this.#floor : put.at > base && put.writer !== writer) return true;
    }
    return false;
  }

  note(keys: Iterable<string>, at: number, writer: string): void {
    for (const key of keys) {
      this.#puts.delete(key);
      this.#puts.set(key, { at, writer });
    }
    for (const [key, put] of this.#puts) {
      if (this.#puts.size <= limits.natsRememberedKeys) return;
      this.#floor = put.at;
      this.#puts.delete(key);
    }
  }
}
