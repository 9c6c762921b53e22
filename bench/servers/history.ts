import { optionalArgument } from "../harness/arguments.ts";

/** What contenders without a log of their own keep for replay: the last events, as every handler of that kind does it. */
export class History<T> {
  readonly entries: T[] = [];
  // Few where nothing is replayed: old objects would cost the peer a garbage collection that is not its delivery.
  readonly #limit = Number(optionalArgument("--retain") ?? 1000);

  add(entry: T): void {
    this.entries.push(entry);
    // In large steps: taking one off the front of a large array for every event would be the benchmark's own cost.
    if (this.entries.length >= this.#limit * 2) this.entries.splice(0, this.entries.length - this.#limit);
  }
}
