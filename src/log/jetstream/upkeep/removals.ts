import type { StreamInfo } from "@nats-io/jetstream";

/**
 * Whether messages go that this server did not remove: somebody purges by hand. All that it takes is how many are gone, which
 * the stream says whenever it is looked at.
 */
export class Removals {
  /** How many were gone when it was looked last; undefined: it was not. */
  #gone: number | undefined;
  #own = 0;

  /** This server removed some since. Rather too few than too many: then it is only looked which. */
  removed(count: number): void {
    this.#own += count;
  }

  /** Whether others removed some since. Of what went before the first look nothing is known. */
  areOfOthers(state: StreamInfo["state"]): boolean {
    return this.#gone !== undefined && goneOf(state) > this.#gone + this.#own;
  }

  /** What is gone by now is known. */
  note(state: StreamInfo["state"]): void {
    this.#gone = goneOf(state);
    this.#own = 0;
  }

  /** Another one removes what it likes. */
  forget(): void {
    this.#gone = undefined;
    this.#own = 0;
  }
}

function goneOf({ last_seq: last, messages }: StreamInfo["state"]): number {
  return last - messages;
}
