import type { EventArrays } from "./staged.ts";

/** Rows of a full chunk. Small enough that compacting one never holds up a commit for long. */
export const rowsPerChunk = 8192;

/** Some rows, as arrays side by side of at least `length`: events, and where their stored bytes lie. */
export interface Rows extends Readonly<EventArrays> {
  readonly segments: Uint32Array;
  readonly offsets: Uint32Array;
}

/**
 * What the index keeps of some committed events, in log order, as arrays side by side. A row never changes once it is
 * committed, except for where its bytes lie, so pages that are read may be views of these arrays.
 */
export class Chunk implements Rows {
  length = 0;
  /** Rows that retention has not removed. */
  live = 0;
  readonly capacity: number;
  readonly sequences: Float64Array;
  readonly ordinals: Float64Array;
  readonly workers: Uint32Array;
  readonly workerOrdinals: Float64Array;
  readonly kinds: Uint32Array;
  readonly times: Float64Array;
  /** Which segment holds the stored bytes, from where, and how many. */
  readonly segments: Uint32Array;
  readonly offsets: Uint32Array;
  readonly sizes: Uint32Array;
  /** There once an event of a job is: events of no job take no memory here. */
  jobs: Uint32Array | undefined;
  jobOrdinals: Float64Array | undefined;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.sequences = new Float64Array(capacity);
    this.ordinals = new Float64Array(capacity);
    this.workers = new Uint32Array(capacity);
    this.workerOrdinals = new Float64Array(capacity);
    this.kinds = new Uint32Array(capacity);
    this.times = new Float64Array(capacity);
    this.segments = new Uint32Array(capacity);
    this.offsets = new Uint32Array(capacity);
    this.sizes = new Uint32Array(capacity);
  }

  get firstSequence(): number {
    return this.sequences[0] as number;
  }

  get lastSequence(): number {
    return this.sequences[this.length - 1] as number;
  }

  /** The first row beyond `sequence`; `length` if there is none. */
  rowAfter(sequence: number): number {
    const first = this.firstSequence;
    if (sequence < first) return 0;
    if (sequence >= this.lastSequence) return this.length;
    // Without holes, which is the rule, the row is known without a search.
    if (this.lastSequence - first + 1 === this.length) return sequence - first + 1;
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.sequences[middle] as number) > sequence) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The rows [from, to) as a view: nothing is copied. */
  view(from: number, to: number): Rows {
    return {
      length: to - from,
      sequences: this.sequences.subarray(from, to),
      ordinals: this.ordinals.subarray(from, to),
      workers: this.workers.subarray(from, to),
      workerOrdinals: this.workerOrdinals.subarray(from, to),
      kinds: this.kinds.subarray(from, to),
      times: this.times.subarray(from, to),
      segments: this.segments.subarray(from, to),
      offsets: this.offsets.subarray(from, to),
      sizes: this.sizes.subarray(from, to),
      jobs: this.jobs?.subarray(from, to),
      jobOrdinals: this.jobOrdinals?.subarray(from, to),
    };
  }

  /** Copies the row of another chunk to the end of this one. */
  copyRow(from: Chunk, row: number): void {
    const at = this.length++;
    this.live++;
    this.sequences[at] = from.sequences[row] as number;
    this.ordinals[at] = from.ordinals[row] as number;
    this.workers[at] = from.workers[row] as number;
    this.workerOrdinals[at] = from.workerOrdinals[row] as number;
    this.kinds[at] = from.kinds[row] as number;
    this.times[at] = from.times[row] as number;
    this.segments[at] = from.segments[row] as number;
    this.offsets[at] = from.offsets[row] as number;
    this.sizes[at] = from.sizes[row] as number;
    if (from.jobs !== undefined) this.setJob(at, from.jobs[row] as number, from.jobOrdinals?.[row] as number);
  }

  /** Says of which job a new row is, or, with 0, that it is of none. */
  setJob(row: number, job: number, ordinal: number): void {
    if (this.jobs === undefined || this.jobOrdinals === undefined) {
      if (job === 0) return;
      this.jobs = new Uint32Array(this.capacity);
      this.jobOrdinals = new Float64Array(this.capacity);
    }
    this.jobs[row] = job;
    this.jobOrdinals[row] = ordinal;
  }

  /** Copies all rows of another chunk into this one, which is empty. */
  copyAll(from: Chunk): void {
    this.length = from.length;
    this.live = from.live;
    this.sequences.set(from.sequences);
    this.ordinals.set(from.ordinals);
    this.workers.set(from.workers);
    this.workerOrdinals.set(from.workerOrdinals);
    this.kinds.set(from.kinds);
    this.times.set(from.times);
    this.segments.set(from.segments);
    this.offsets.set(from.offsets);
    this.sizes.set(from.sizes);
    if (from.jobs === undefined || from.jobOrdinals === undefined) return;
    this.jobs = new Uint32Array(this.capacity);
    this.jobs.set(from.jobs);
    this.jobOrdinals = new Float64Array(this.capacity);
    this.jobOrdinals.set(from.jobOrdinals);
  }
}
