/** Numbers per page. Small: one that is kept for long keeps a page. */
const pageBits = 6;
const pageMask = (1 << pageBits) - 1;

interface Page<T> {
  readonly values: (T | undefined)[];
  used: number;
}

/**
 * Values by number, for numbers that are given out one after the other. As quick as an array, but numbers that were let
 * go cost next to nothing, however many they were.
 */
export class NumberedTable<T> {
  readonly #pages: (Page<T> | undefined)[] = [];

  get(number: number): T | undefined {
    return this.#pages[number >>> pageBits]?.values[number & pageMask];
  }

  set(number: number, value: T): void {
    const at = number >>> pageBits;
    let page = this.#pages[at];
    if (page === undefined) {
      page = { values: new Array<T | undefined>(pageMask + 1).fill(undefined), used: 0 };
      this.#pages[at] = page;
    }
    if (page.values[number & pageMask] === undefined) page.used++;
    page.values[number & pageMask] = value;
  }

  delete(number: number): void {
    const page = this.#pages[number >>> pageBits];
    if (page?.values[number & pageMask] === undefined) return;
    page.values[number & pageMask] = undefined;
    if (--page.used === 0) this.#pages[number >>> pageBits] = undefined;
  }

  *values(): Iterable<T> {
    for (const page of this.#pages) {
      if (page === undefined) continue;
      for (const value of page.values) if (value !== undefined) yield value;
    }
  }
}
