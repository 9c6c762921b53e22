import type { ScopeEntry } from "./scope-entry.ts";

/** Goes through the events of several workers, or of a job, in log order: a merge of their queues. */
export class QueueCursors {
  readonly #entries: readonly ScopeEntry[];
  readonly #places: number[];
  /** Numbers of entries with something left, as a heap by the sequence that is next. */
  readonly #heap: number[] = [];

  constructor(entries: readonly ScopeEntry[], after: number) {
    this.#entries = entries;
    this.#places = entries.map((entry) => entry.queue.indexAfter(after));
    for (let i = 0; i < entries.length; i++) {
      if (this.#sequenceOf(i) === Number.POSITIVE_INFINITY) continue;
      this.#heap.push(i);
    }
    for (let at = (this.#heap.length >>> 1) - 1; at >= 0; at--) this.#down(at);
  }

  /** The next sequence; undefined at the end. */
  next(): number | undefined {
    const top = this.#heap[0];
    if (top === undefined) return undefined;
    const sequence = this.#sequenceOf(top);
    this.#places[top] = (this.#places[top] as number) + 1;
    if (this.#sequenceOf(top) === Number.POSITIVE_INFINITY) {
      const last = this.#heap.pop() as number;
      if (this.#heap.length > 0) this.#heap[0] = last;
    }
    this.#down(0);
    return sequence;
  }

  #sequenceOf(i: number): number {
    const { queue } = this.#entries[i] as ScopeEntry;
    const place = this.#places[i] as number;
    return place < queue.length ? queue.at(place) : Number.POSITIVE_INFINITY;
  }

  #down(from: number): void {
    const heap = this.#heap;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) return;
      if (
        child + 1 < heap.length &&
        this.#sequenceOf(heap[child + 1] as number) < this.#sequenceOf(heap[child] as number)
      ) {
        child++;
      }
      if (this.#sequenceOf(heap[at] as number) <= this.#sequenceOf(heap[child] as number)) return;
      const swapped = heap[at] as number;
      heap[at] = heap[child] as number;
      heap[child] = swapped;
      at = child;
    }
  }
}
