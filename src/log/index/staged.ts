import type { FloorRaise, ScopeEntry } from "./scope-entry.ts";

/** Events as arrays side by side, on their way into the log: everything of an `EventBlock` but its bytes. */
export interface EventArrays {
  readonly length: number;
  readonly sequences: Float64Array;
  readonly ordinals: Float64Array;
  readonly workers: Uint32Array;
  readonly workerOrdinals: Float64Array;
  readonly kinds: Uint32Array;
  readonly times: Float64Array;
  readonly sizes: Uint32Array;
  /** Undefined: none of the events is of a job. */
  jobs: Uint32Array | undefined;
  jobOrdinals: Float64Array | undefined;
}

/** Where the stored bytes of a group lie: one after the other, from `offset` of a segment. */
export interface Placement {
  readonly segment: number;
  readonly offset: number;
}

/** What a group that is in the index for planning changed there. */
export interface PlannedGroup {
  /** Workers and jobs with events in the group. */
  readonly grown: ReadonlySet<ScopeEntry>;
  /** Those of them that did not exist before. */
  readonly created: readonly ScopeEntry[];
  /** Jobs to forget, before `raises` takes effect. */
  readonly forgottenJobs: readonly ScopeEntry[];
  /** Workers that what those jobs held counts against from then on. */
  readonly heirs: ReadonlySet<ScopeEntry>;
  /** What retention removes because of the group, or because of its age. Jobs come before workers. */
  readonly raises: readonly FloorRaise[];
}

/** A group that is in the index for planning, but that no reader sees before it is committed. */
export interface StagedGroup extends PlannedGroup {
  readonly events: EventArrays;
  readonly timeMs: number;
  readonly forgottenWorkers: readonly ScopeEntry[];
  readonly state: ReadonlyMap<string, Uint8Array | null>;
}

/** Length up to which V8 has typed arrays in its own heap, where several take less than one memory for all of them. */
export const shortLength = 8;

/** Room for `length` events. */
export function newEventArrays(length: number): EventArrays {
  if (length <= shortLength) {
    return {
      length,
      sequences: new Float64Array(length),
      ordinals: new Float64Array(length),
      workers: new Uint32Array(length),
      workerOrdinals: new Float64Array(length),
      kinds: new Uint32Array(length),
      times: new Float64Array(length),
      sizes: new Uint32Array(length),
      jobs: undefined,
      jobOrdinals: undefined,
    };
  }
  // One memory for all of them: what takes long is to get memory, and to let go of it, however little it is.
  const bytesOfNumbers = Float64Array.BYTES_PER_ELEMENT * length;
  const bytesOfIntegers = Uint32Array.BYTES_PER_ELEMENT * length;
  const memory = new ArrayBuffer(4 * bytesOfNumbers + 3 * bytesOfIntegers);
  const integersFrom = 4 * bytesOfNumbers;
  return {
    length,
    sequences: new Float64Array(memory, 0, length),
    ordinals: new Float64Array(memory, bytesOfNumbers, length),
    workers: new Uint32Array(memory, integersFrom, length),
    workerOrdinals: new Float64Array(memory, 2 * bytesOfNumbers, length),
    kinds: new Uint32Array(memory, integersFrom + bytesOfIntegers, length),
    times: new Float64Array(memory, 3 * bytesOfNumbers, length),
    sizes: new Uint32Array(memory, integersFrom + 2 * bytesOfIntegers, length),
    jobs: undefined,
    jobOrdinals: undefined,
  };
}

/** Says of which job event `i` is. */
export function setJob(events: EventArrays, i: number, job: number, ordinal: number): void {
  events.jobs ??= new Uint32Array(events.length);
  events.jobOrdinals ??= new Float64Array(events.length);
  events.jobs[i] = job;
  events.jobOrdinals[i] = ordinal;
}
