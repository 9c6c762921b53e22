/** The numbers by which the log's files know workers, which outlive those of the process. Never given out twice. */
export class WorkerNumbers {
  /** By the number in the process. */
  readonly #stored: number[] = [0];
  /** By the number in the files. */
  readonly #live = new Map<number, number>([[0, 0]]);
  #next = 1;

  /** The number that no worker has had yet. */
  get next(): number {
    return this.#next;
  }

  /** The next number, taken. */
  take(): number {
    return this.#next++;
  }

  bind(live: number, stored: number): void {
    this.#stored[live] = stored;
    this.#live.set(stored, live);
    this.reserveThrough(stored);
  }

  release(live: number): void {
    this.#live.delete(this.#stored[live] as number);
  }

  reserveThrough(stored: number): void {
    this.#next = Math.max(this.#next, stored + 1);
  }

  storedOf(live: number): number {
    return this.#stored[live] as number;
  }

  /** Undefined: a worker that was forgotten. */
  liveOf(stored: number): number | undefined {
    return this.#live.get(stored);
  }
}
