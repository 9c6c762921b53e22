import type { TranscriptEntry } from "../../../gen/tailrace/v1/worker_service_pb.ts";

/** Entries that are copied when one of them changes: a compromise between that and the length of the list of chunks. */
const chunkLength = 128;

type Chunk = readonly TranscriptEntry[];

/**
 * The entries of a transcript in the order of their numbers. Immutable, and what did not change is shared with the list
 * before, so that a reader may keep the one that it has while events go on.
 */
export class EntryList implements Iterable<TranscriptEntry> {
  static readonly empty = new EntryList([], 0);

  readonly length: number;
  readonly #chunks: readonly Chunk[];

  private constructor(chunks: readonly Chunk[], length: number) {
    this.#chunks = chunks;
    this.length = length;
  }

  /** A list of entries whose numbers ascend. */
  static of(entries: readonly TranscriptEntry[]): EntryList {
    const chunks: Chunk[] = [];
    for (let at = 0; at < entries.length; at += chunkLength) chunks.push(entries.slice(at, at + chunkLength));
    return new EntryList(chunks, entries.length);
  }

  get first(): TranscriptEntry | undefined {
    return this.#chunks[0]?.[0];
  }

  get last(): TranscriptEntry | undefined {
    return this.#chunks.at(-1)?.at(-1);
  }

  get(entryNumber: number): TranscriptEntry | undefined {
    const chunk = this.#chunks[this.#chunkOf(entryNumber)];
    const entry = chunk?.[placeIn(chunk, entryNumber)];
    return entry !== undefined && Number(entry.entryNumber) === entryNumber ? entry : undefined;
  }

  /** With one more at the end; its number is above all others. */
  append(entry: TranscriptEntry): EntryList {
    const tail = this.#chunks.at(-1);
    const chunks =
      tail === undefined || tail.length >= chunkLength
        ? [...this.#chunks, [entry]]
        : [...this.#chunks.slice(0, -1), [...tail, entry]];
    return new EntryList(chunks, this.length + 1);
  }

  /** With another entry in place of the one that has its number, which must be there. */
  replace(entry: TranscriptEntry): EntryList {
    const entryNumber = Number(entry.entryNumber);
    const index = this.#chunkOf(entryNumber);
    const chunk = [...(this.#chunks[index] as Chunk)];
    chunk[placeIn(chunk, entryNumber)] = entry;
    const chunks = [...this.#chunks];
    chunks[index] = chunk;
    return new EntryList(chunks, this.length);
  }

  /** Without the first `count`. */
  withoutFirst(count: number): EntryList {
    let left = Math.min(count, this.length);
    const length = this.length - left;
    let from = 0;
    for (; left > 0 && left >= (this.#chunks[from] as Chunk).length; from++)
      left -= (this.#chunks[from] as Chunk).length;
    const chunks = this.#chunks.slice(from);
    if (left > 0) chunks[0] = (chunks[0] as Chunk).slice(left);
    return new EntryList(chunks, length);
  }

  /** Without those that have this number or a higher one. */
  before(entryNumber: number): EntryList {
    const kept: TranscriptEntry[] = [];
    for (const entry of this) {
      if (Number(entry.entryNumber) >= entryNumber) break;
      kept.push(entry);
    }
    return EntryList.of(kept);
  }

  [Symbol.iterator](): IterableIterator<TranscriptEntry> {
    return this.ascending(0);
  }

  /** Those above a number, oldest first. */
  *ascending(above: number): IterableIterator<TranscriptEntry> {
    for (let index = this.#chunkOf(above); index < this.#chunks.length; index++) {
      for (const entry of this.#chunks[index] as Chunk) if (Number(entry.entryNumber) > above) yield entry;
    }
  }

  /** Those below a number, newest first. */
  *descending(below = Number.POSITIVE_INFINITY): IterableIterator<TranscriptEntry> {
    for (let index = this.#chunkOf(below); index >= 0; index--) {
      const chunk = this.#chunks[index] ?? [];
      for (let at = chunk.length - 1; at >= 0; at--) {
        const entry = chunk[at] as TranscriptEntry;
        if (Number(entry.entryNumber) < below) yield entry;
      }
    }
  }

  /** Those that are not in another list as they are, oldest first. Costs little where the two share most. */
  *changedSince(before: EntryList): IterableIterator<TranscriptEntry> {
    const shared = new Set(before.#chunks);
    for (const chunk of this.#chunks) {
      if (shared.has(chunk)) continue;
      for (const entry of chunk) if (before.get(Number(entry.entryNumber)) !== entry) yield entry;
    }
  }

  /** The last chunk that begins at or before a number; the first one if none does. */
  #chunkOf(entryNumber: number): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      const { entryNumber: begins } = (this.#chunks[middle] as Chunk)[0] as TranscriptEntry;
      if (Number(begins) <= entryNumber) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Where a number is in a chunk, or would be. */
function placeIn(chunk: Chunk, entryNumber: number): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Number((chunk[middle] as TranscriptEntry).entryNumber) < entryNumber) low = middle + 1;
    else high = middle;
  }
  return low;
}
