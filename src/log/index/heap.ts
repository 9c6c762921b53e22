/** Numbers with a key each, to find the one with the greatest key and to change keys quickly. */
export class MaxHeap {
  #keys = new Float64Array(16);
  /** Where a number stands in the heap, plus 1; 0: it is not there. */
  #places = new Uint32Array(16);
  #heap: number[] = [];

  /** The number with the greatest key; undefined if there is none. */
  top(): number | undefined {
    return this.#heap[0];
  }

  set(number: number, key: number): void {
    if (number >= this.#keys.length) this.#grow(number);
    const place = this.#places[number] as number;
    if (place === 0) {
      if (key <= 0) return;
      this.#keys[number] = key;
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

  #up(from: number, number: number): void {
    const key = this.#keys[number] as number;
    let at = from;
    while (at > 0) {
      const parentAt = (at - 1) >>> 1;
      const parent = this.#heap[parentAt] as number;
      if ((this.#keys[parent] as number) >= key) break;
      this.#heap[at] = parent;
      this.#places[parent] = at + 1;
      at = parentAt;
    }
    this.#heap[at] = number;
    this.#places[number] = at + 1;
  }

  #down(from: number, number: number): void {
    const key = this.#keys[number] as number;
    const length = this.#heap.length;
    let at = from;
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= length) break;
      if (
        childAt + 1 < length &&
        (this.#keys[this.#heap[childAt + 1] as number] as number) >
          (this.#keys[this.#heap[childAt] as number] as number)
      ) {
        childAt++;
      }
      const child = this.#heap[childAt] as number;
      if ((this.#keys[child] as number) <= key) break;
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
    const places = new Uint32Array(size);
    places.set(this.#places);
    this.#places = places;
  }
}
