import { limits } from "../../../base/limits.ts";

/** Bytes of memory that small messages share, and from where on a message is none of those, and is kept where it lies. */
const sharedBytes = 256 * 1024;
export const largeBytes = 64 * 1024;

/** Memory for small messages. */
interface Room {
  readonly memory: Uint8Array;
  /** Where the next one begins. */
  at: number;
  /** How many slabs lie in it. */
  slabs: number;
}

/** Messages that follow each other, one behind the other in the same memory. */
interface Slab {
  readonly memory: Uint8Array;
  /** Undefined: the memory is that of one large message. */
  readonly room: Room | undefined;
  readonly sequences: number[];
  /** Where each ends. */
  readonly ends: number[];
}

/**
 * The stored bytes of the newest messages, by their sequences in the stream. Small ones are copied into memory that serves
 * again and again: memory of its own for each is work for the collector for as long as it is kept, and as soon as it is
 * dropped the collector has to look through everything to find that out, because it has grown old.
 */
export class RecentMessages {
  /** Oldest first. */
  #slabs: Slab[] = [];
  #bytes = 0;
  /** Where the next small ones go. */
  #room: Room | undefined;
  /** Memory in which nothing lies any more. */
  #spare: Uint8Array | undefined;

  /** Valid until the next one is added. */
  get(sequence: number): Uint8Array | undefined {
    const slabAt = lastUpTo(this.#slabs.length, (i) => this.#slabs[i]?.sequences[0] as number, sequence);
    const slab = this.#slabs[slabAt];
    if (slab === undefined) return undefined;
    const { memory, sequences, ends } = slab;
    const at = lastUpTo(sequences.length, (i) => sequences[i] as number, sequence);
    return sequences[at] === sequence ? memory.subarray(ends[at - 1] ?? 0, ends[at]) : undefined;
  }

  /** @param sequence higher than all before. @param bytes are not changed any more where they are `largeBytes` or more. */
  add(sequence: number, bytes: Uint8Array): void {
    const { length } = bytes;
    this.#bytes += length;
    if (length >= largeBytes) {
      this.#slabs.push({ memory: bytes, room: undefined, sequences: [sequence], ends: [length] });
    } else {
      const room = this.#roomFor(length);
      const slab = this.#slabIn(room);
      slab.ends.push((slab.ends.at(-1) ?? 0) + length);
      slab.sequences.push(sequence);
      room.memory.set(bytes, room.at);
      room.at += length;
    }
    while (this.#bytes > limits.natsRecentBytes) this.#drop(this.#slabs.shift() as Slab);
  }

  /** Somebody removed messages: what was kept of them is not true any more. */
  clear(): void {
    this.#slabs = [];
    this.#bytes = 0;
    this.#room = undefined;
  }

  #roomFor(length: number): Room {
    if (this.#room === undefined || this.#room.at + length > sharedBytes) {
      this.#room = { memory: this.#spare ?? new Uint8Array(sharedBytes), at: 0, slabs: 0 };
      this.#spare = undefined;
    }
    return this.#room;
  }

  /** The newest one, if what comes next in the room follows what it has; else a new one. */
  #slabIn(room: Room): Slab {
    const newest = this.#slabs.at(-1);
    if (newest !== undefined && newest.room === room) return newest;
    const slab = { memory: room.memory.subarray(room.at), room, sequences: [], ends: [] };
    room.slabs++;
    this.#slabs.push(slab);
    return slab;
  }

  #drop({ room, ends }: Slab): void {
    this.#bytes -= ends.at(-1) as number;
    if (room === undefined || --room.slabs > 0) return;
    if (room !== this.#room) this.#spare = room.memory;
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
