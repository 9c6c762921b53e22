import { type EventBlock, jobsOf } from "../block.ts";
import type { PageMemory } from "../contract.ts";
import type { Subjects } from "../subjects.ts";
import type { Rows } from "./chunk.ts";

/** Unwanted bytes between two events that are cheaper to read along than to make another read for. */
const maxGapBytes = 32 * 1024;
/** Bytes of a piece that is read only to pick events from it. */
const maxSparseBytes = 512 * 1024;

/** A piece of a segment to fetch, for the rows [`firstRow`, `lastRow`]. */
export interface Extent {
  readonly segment: number;
  readonly from: number;
  readonly to: number;
  readonly firstRow: number;
  readonly lastRow: number;
  /** Where it goes in the block's bytes. */
  readonly at: number;
  /**
   * Whether it is fetched as it is, with what lies between its events. If not, little of it is wanted: its events are
   * picked out, one after the other.
   */
  readonly isWhole: boolean;
}

/** What to fetch for a block, and where its events will then lie. */
export interface Layout {
  readonly rows: Rows;
  readonly extents: readonly Extent[];
  readonly totalBytes: number;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

/** Lays out the bytes of `rows`: what lies near each other is fetched as one piece. Places go into `memory`, if they fit. */
export function layOut(rows: Rows, memory?: Pick<PageMemory, "starts" | "ends">): Layout {
  const { length, segments, offsets, sizes } = rows;
  const fits = memory !== undefined && length <= memory.starts.length;
  const starts = fits ? memory.starts : new Uint32Array(length);
  const ends = fits ? memory.ends : new Uint32Array(length);
  const extents: Extent[] = [];
  let total = 0;
  for (let firstRow = 0; firstRow < length; ) {
    const segment = segments[firstRow] as number;
    const from = offsets[firstRow] as number;
    let to = from + (sizes[firstRow] as number);
    let wanted = to - from;
    let row = firstRow + 1;
    for (; row < length && segments[row] === segment; row++) {
      const offset = offsets[row] as number;
      const end = offset + (sizes[row] as number);
      if (offset < to || offset - to > maxGapBytes) break;
      if (end - from > maxSparseBytes && wanted * 2 < end - from) break;
      wanted += end - offset;
      to = end;
    }
    const isWhole = wanted * 2 >= to - from;
    extents.push({ segment, from, to, firstRow, lastRow: row - 1, at: total, isWhole });
    let at = total;
    for (let i = firstRow; i < row; i++) {
      const start = isWhole ? total + (offsets[i] as number) - from : at;
      starts[i] = start;
      at = start + (sizes[i] as number);
      ends[i] = at;
    }
    total = at;
    firstRow = row;
  }
  return { rows, extents, totalBytes: total, starts, ends };
}

/** Puts the wanted bytes of an extent, read into `piece`, where the layout wants them. */
export function pick(layout: Layout, extent: Extent, piece: Uint8Array, target: Uint8Array): void {
  for (let row = extent.firstRow; row <= extent.lastRow; row++) {
    const from = (layout.rows.offsets[row] as number) - extent.from;
    target.set(piece.subarray(from, from + (layout.rows.sizes[row] as number)), layout.starts[row] as number);
  }
}

/** The block of rows whose bytes were fetched. */
export function blockOf(
  rows: Rows,
  subjects: Subjects,
  jobSubjects: Subjects,
  bytes: Uint8Array,
  starts: Uint32Array,
  ends: Uint32Array,
): EventBlock {
  return {
    length: rows.length,
    sequences: rows.sequences,
    ordinals: rows.ordinals,
    workers: rows.workers,
    workerOrdinals: rows.workerOrdinals,
    ...jobsOf(rows),
    kinds: rows.kinds,
    times: rows.times,
    bytes,
    starts,
    ends,
    subjects,
    jobSubjects,
  };
}
