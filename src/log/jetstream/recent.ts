import { limits } from "../../base/limits.ts";

/** Bytes of memory that small messages share, and from where on a message is none of those. */
const sharedBytes = 256 * 1024;
const largeBytes = 16 * 1024;

/** Messages that follow each other, one behind the other in the same memory. */
interface Slab {
  readonly memory: Uint8Array;
  readonly sequences: number[];
  /** Where each ends. */
  readonly ends: number[];
}

/**
 * The stored bytes of the newest messages, by their sequences in the stream. Small ones are copied: a buffer of its own for
 * each of a hundred thousand is work for the collector for as long as they are kept.
 */
export class RecentMessages {
  /** Oldest first. */
  #slabs: Slab[] = [];
  #bytes = 0;
  /** What is left of the memory of the newest small ones. */
  #room = new Uint8Array(0);

  /** Valid for good. */
  get(sequence: number): Uint8Array | undefined {
    const slabAt = lastUpTo(this.#slabs.length, (i) => this.#slabs[i]?.sequences[0] as number, sequence);
    const slab = this.#slabs[slabAt];
    if (slab === undefined) return undefined;
    const { memory, sequences, ends } = slab;
    const at = lastUpTo(sequences.length, (i) => sequences[i] as number, sequence);
    return sequences[at] === sequence ? memory.subarray(ends[at - 1] ?? 0, ends[at]) : undefined;
  }

  /** @param sequence higher than all before. @param bytes are not changed any more. */
  add(sequence: number, bytes: Uint8Array): void {
    const { length } = bytes;
    this.#bytes += length;
    if (length >= largeBytes) {
      this.#slabs.push({ memory: bytes, sequences: [sequence], ends: [length] });
    } else {
      if (length > this.#room.length) this.#room = new Uint8Array(sharedBytes);
      const slab = this.#slabWith(this.#room);
      slab.ends.push((slab.ends.at(-1) ?? 0) + length);
      slab.sequences.push(sequence);
      this.#room.set(bytes);
      this.#room = this.#room.subarray(length);
    }
    while (this.#bytes > limits.natsRecentBytes) this.#bytes -= this.#slabs.shift()?.ends.at(-1) as number;
  }

  /** Somebody removed messages: what was kept of them is not true any more. */
  clear(): void {
    this.#slabs = [];
    this.#bytes = 0;
  }

  /** The newest one, if that memory follows what it has; else a new one. */
  #slabWith(room: Uint8Array): Slab {
    const newest = this.#slabs.at(-1);
    if (newest !== undefined && newest.memory.buffer === room.buffer) return newest;
    const slab = { memory: room, sequences: [], ends: [] };
    this.#slabs.push(slab);
    return slab;
  }
}

/** Index of the last of some ascending values that is not beyond one; -1 if all are. */
function lastUpTo(length: number, valueAt: (i: number) => number, value: number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (valueAt(middle) > value) high = middle;
    else low = middle + 1;
  }
  return low - 1;
}
