/**
 * Numbers with a key each, to find the one with the greatest key and to change keys quickly. Of equal keys that with the
 * smaller rank comes first, so that the same keys have the same top whatever they were before.
 */
export class MaxHeap {
  #keys = new Float64Array(16);
  #ranks = new Float64Array(16);
  /** Where a number stands in the heap, plus 1; 0: it is not there. */
  #places = new Uint32Array(16);
  #heap: number[] = [];

  /** The number with the greatest key; undefined if there is none. */
  top(): number | undefined {
    return this.#heap[0];
  }

  set(number: number, key: number, rank: number): void {
    if (number >= this.#keys.length) this.#grow(number);
    const place = this.#places[number] as number;
    if (place === 0) {
      if (key <= 0) return;
      this.#keys[number] = key;
      this.#ranks[number] = rank;
      this.#heap.push(number);
      this.#up(this.#heap.length - 1, number);
      return;
    }
    if (key <= 0) {
      this.#remove(number, place - 1);
      return;
    }
    const before = this.#keys[number] as number;
    this.#keys[number] = key;
    if (key > before) this.#up(place - 1, number);
    else if (key < before) this.#down(place - 1, number);
  }

  #remove(number: number, at: number): void {
    this.#places[number] = 0;
    const last = this.#heap.pop() as number;
    if (last === number) return;
    this.#up(at, last);
    this.#down((this.#places[last] as number) - 1, last);
  }

  /** Whether the first of two numbers belongs above the second. */
  #isAbove(one: number, other: number): boolean {
    const key = this.#keys[one] as number;
    const otherKey = this.#keys[other] as number;
    return key > otherKey || (key === otherKey && (this.#ranks[one] as number) < (this.#ranks[other] as number));
  }

  #up(from: number, number: number): void {
    let at = from;
    while (at > 0) {
      const parentAt = (at - 1) >>> 1;
      const parent = this.#heap[parentAt] as number;
      if (!this.#isAbove(number, parent)) break;
      this.#heap[at] = parent;
      this.#places[parent] = at + 1;
      at = parentAt;
    }
    this.#heap[at] = number;
    this.#places[number] = at + 1;
  }

  #down(from: number, number: number): void {
    const length = this.#heap.length;
    let at = from;
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= length) break;
      const nextAt = childAt + 1;
      if (nextAt < length && this.#isAbove(this.#heap[nextAt] as number, this.#heap[childAt] as number))
        childAt = nextAt;
      const child = this.#heap[childAt] as number;
      if (!this.#isAbove(child, number)) break;
      this.#heap[at] = child;
      this.#places[child] = at + 1;
      at = childAt;
    }
    this.#heap[at] = number;
    this.#places[number] = at + 1;
  }

  #grow(number: number): void {
    const size = Math.max(number + 1, this.#keys.length * 2);
    const keys = new Float64Array(size);
    keys.set(this.#keys);
    this.#keys = keys;
    const ranks = new Float64Array(size);
    ranks.set(this.#ranks);
    this.#ranks = ranks;
    const places = new Uint32Array(size);
    places.set(this.#places);
    this.#places = places;
  }
}
