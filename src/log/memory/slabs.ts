import type { Chunk } from "../index/chunk.ts";
import { type Layout, pick } from "../index/extents.ts";
import type { LogIndex } from "../index/log-index.ts";
import type { Placement } from "../index/staged.ts";
import type { FetchedBytes } from "../readable-log.ts";

/** Bytes that are taken from the system at once. */
const slabBytes = 1024 * 1024;
/** A full slab is emptied into a new one when less than one byte in this many is still retained. */
const sparseFactor = 4;

interface Slab {
  readonly bytes: Uint8Array;
  used: number;
}

/** The stored bytes of a memory log: appended to slabs, which never change once written, so that readers share them. */
export class Slabs {
  readonly #index: LogIndex;
  readonly #slabs = new Map<number, Slab>();
  #current = 0;
  /** Where the uses stood when all slabs but the current one were last looked at. */
  #looked = -1;

  constructor(index: LogIndex) {
    this.#index = index;
  }

  /** Where so many bytes go next. */
  place(bytes: number): Placement {
    const slab = this.#slabs.get(this.#current);
    if (slab === undefined || slab.used + bytes > slab.bytes.length) {
      this.#current++;
      this.#looked = -1;
      this.#slabs.set(this.#current, { bytes: new Uint8Array(Math.max(slabBytes, bytes)), used: 0 });
      return { segment: this.#current, offset: 0 };
    }
    return { segment: this.#current, offset: slab.used };
  }

  /** The slab of a placement, whose bytes are taken from now on. */
  take(placement: Placement, bytes: number): Uint8Array {
    const slab = this.#slabs.get(placement.segment) as Slab;
    slab.used = placement.offset + bytes;
    return slab.bytes;
  }

  fetch(layout: Layout, memory: Uint8Array | undefined): FetchedBytes {
    const [only] = layout.extents;
    if (only?.isWhole && layout.extents.length === 1) {
      // The page is a view of the slab. Nothing is copied.
      const bytes = this.#slabs.get(only.segment)?.bytes as Uint8Array;
      return { bytes: bytes.subarray(only.from, only.to), starts: layout.starts, ends: layout.ends };
    }
    // At every seam of two slabs, so a fourth of a replay comes this way.
    const { totalBytes } = layout;
    const fits = memory !== undefined && totalBytes <= memory.length;
    const bytes = fits ? memory.subarray(0, totalBytes) : new Uint8Array(totalBytes);
    for (const extent of layout.extents) {
      const piece = this.#slabs.get(extent.segment)?.bytes.subarray(extent.from, extent.to) as Uint8Array;
      if (extent.isWhole) bytes.set(piece, extent.at);
      else pick(layout, extent, piece, bytes);
    }
    return { bytes, starts: layout.starts, ends: layout.ends };
  }

  /** Gives back slabs in which nothing, or little, is retained. */
  reclaim(): void {
    const { removals } = this.#index.uses;
    if (removals === this.#looked) return;
    this.#looked = removals;
    for (const [number, slab] of this.#slabs) {
      if (number === this.#current) continue;
      const { liveEvents, liveBytes } = this.#index.uses.of(number);
      if (liveEvents > 0) {
        if (liveBytes * sparseFactor > slab.used) continue;
        this.#moveSurvivors(number, slab, liveBytes);
      }
      this.#slabs.delete(number);
      this.#index.uses.forget(number);
    }
  }

  clear(): void {
    this.#slabs.clear();
  }

  #moveSurvivors(number: number, slab: Slab, liveBytes: number): void {
    const placement = this.place(liveBytes);
    const target = this.take(placement, liveBytes);
    let at = placement.offset;
    let moved = 0;
    for (const chunk of this.#index.columns.chunks) {
      moved += this.#moveRows(chunk, number, (from, size) => {
        target.set(slab.bytes.subarray(from, from + size), at);
        at += size;
        return { segment: placement.segment, offset: at - size };
      });
    }
    this.#index.uses.count(placement.segment, moved, liveBytes);
  }

  #moveRows(chunk: Chunk, segment: number, move: (from: number, size: number) => Placement): number {
    let moved = 0;
    for (let row = 0; row < chunk.length; row++) {
      if (chunk.segments[row] !== segment || !this.#index.holders.isLive(chunk, row)) continue;
      const to = move(chunk.offsets[row] as number, chunk.sizes[row] as number);
      chunk.segments[row] = to.segment;
      chunk.offsets[row] = to.offset;
      moved++;
    }
    return moved;
  }
}
