/** The sequences of a worker's retained events, oldest first. */
export class SequenceQueue {
  #values = new Float64Array(4);
  #start = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  at(index: number): number {
    return this.#values[this.#start + index] as number;
  }

  push(sequence: number): void {
    if (this.#start + this.#length === this.#values.length) this.#makeRoom();
    this.#values[this.#start + this.#length++] = sequence;
  }

  dropFirst(count: number): void {
    this.#start += count;
    this.#length -= count;
    if (this.#length === 0) {
      this.#start = 0;
      if (this.#values.length > 1024) this.#values = new Float64Array(4);
    }
  }

  dropLast(count: number): void {
    this.#length -= count;
  }

  /** Index of the first one beyond `sequence`; `length` if there is none. */
  indexAfter(sequence: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.at(middle) > sequence) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #makeRoom(): void {
    // Moving down is enough while at least half is free: a queue at its limit then never grows.
    const target = this.#length * 2 <= this.#values.length ? this.#values : new Float64Array(this.#values.length * 2);
    target.set(this.#values.subarray(this.#start, this.#start + this.#length));
    this.#values = target;
    this.#start = 0;
  }
}
