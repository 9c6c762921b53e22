import type { Clock } from "../base/clock.ts";

/**
 * Gives work its turn in the order in which it came, little of it per turn of the event loop: live frames, new connections
 * and publishers come in between, however many readers catch up, and readers at similar positions advance together.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #budgetMs: number;
  readonly #costly: () => number;
  #waiting: (() => void)[] = [];
  #next: NodeJS.Immediate | undefined;

  /**
   * `costly` counts work that goes on after its turn, as reading and encoding do: a turn ends after one of that kind, or
   * after `budgetMs` milliseconds.
   */
  constructor(clock: Clock, budgetMs: number, costly: () => number) {
    this.#clock = clock;
    this.#budgetMs = budgetMs;
    this.#costly = costly;
  }

  add(work: () => void): void {
    this.#waiting.push(work);
    this.#next ??= setImmediate(() => this.#turn());
  }

  /** Forgets what waits. */
  clear(): void {
    this.#waiting = [];
    if (this.#next !== undefined) clearImmediate(this.#next);
    this.#next = undefined;
  }

  #turn(): void {
    this.#next = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    const begun = this.#clock.monotonic();
    const costly = this.#costly();
    let done = 0;
    while (done < waiting.length) {
      (waiting[done++] as () => void)();
      if (this.#costly() !== costly || this.#clock.monotonic() - begun >= this.#budgetMs) break;
    }
    // What came meanwhile goes behind those that waited longer.
    if (done < waiting.length) this.#waiting = [...waiting.slice(done), ...this.#waiting];
    if (this.#waiting.length > 0) this.#next ??= setImmediate(() => this.#turn());
  }
}
