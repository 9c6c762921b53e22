import type { FloorRaise, WorkerEntry } from "./worker.ts";

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
}

/** Where the stored bytes of a group lie: one after the other, from `offset` of a segment. */
export interface Placement {
  readonly segment: number;
  readonly offset: number;
}

/** A group that is in the index for planning, but that no reader sees before it is committed. */
export interface StagedGroup {
  readonly events: EventArrays;
  readonly timeMs: number;
  /** Workers with events in the group. */
  readonly grown: ReadonlySet<WorkerEntry>;
  /** Those of them that did not exist before. */
  readonly created: readonly WorkerEntry[];
  /** What retention removes because of the group, or because of its age. */
  readonly raises: readonly FloorRaise[];
  /** Workers to forget. */
  readonly forgotten: readonly WorkerEntry[];
  readonly state: ReadonlyMap<string, Uint8Array | null>;
}

/** Room for `length` events. */
export function newEventArrays(length: number): EventArrays {
  return {
    length,
    sequences: new Float64Array(length),
    ordinals: new Float64Array(length),
    workers: new Uint32Array(length),
    workerOrdinals: new Float64Array(length),
    kinds: new Uint32Array(length),
    times: new Float64Array(length),
    sizes: new Uint32Array(length),
  };
}
