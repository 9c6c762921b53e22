/** Times without service, in milliseconds. */
export interface Gaps {
  /** The longest time that any one client had to wait. */
  readonly client: number;
  /** The longest time in which no client of all was served. */
  readonly all: number;
}

/** Looks at how long clients wait between two answers, or two events. */
export class GapMeter {
  readonly #last = new Map<string, number>();
  readonly #longest = new Map<string, number>();
  #lastOfAll = performance.now();
  #longestOfAll = 0;

  /** Now a client was served. */
  stamp(client: string): void {
    const now = performance.now();
    this.#longest.set(client, Math.max(this.#longest.get(client) ?? 0, now - (this.#last.get(client) ?? now)));
    this.#last.set(client, now);
    this.#longestOfAll = Math.max(this.#longestOfAll, now - this.#lastOfAll);
    this.#lastOfAll = now;
  }

  /** Forgets the gaps so far. One that lasts goes on. */
  reset(): void {
    this.#longest.clear();
    this.#longestOfAll = 0;
  }

  /** Whether every client was served after a time of `performance.now()`. */
  servedSince(time: number): boolean {
    return [...this.#last.values()].every((last) => last > time);
  }

  /** The gaps since `reset` that have ended. */
  get gaps(): Gaps {
    return {
      client: Math.round(Math.max(0, ...this.#longest.values())),
      all: Math.round(this.#longestOfAll),
    };
  }
}
