import type { Position } from "../events/cursor.ts";
import type { Subjects } from "./subjects.ts";

/**
 * A run of committed events in log order: the unit of commit, of a page that is read, and of what the tail keeps. Arrays
 * side by side instead of an object per event, because every event of every runtime passes here. Immutable, as long as somebody
 * reads it.
 */
export interface EventBlock {
  /** Events in the block, at least 1. All arrays have at least this length. */
  readonly length: number;
  /** Sequence in the runtime. Strictly increasing. */
  readonly sequences: Float64Array;
  /** Number in the runtime without holes: how many events the runtime had had up to and with this one. */
  readonly ordinals: Float64Array;
  /** Number of the worker in `subjects`; 0: of no worker. */
  readonly workers: Uint32Array;
  /** Number in the worker, without holes, from 1; 0: of no worker. */
  readonly workerOrdinals: Float64Array;
  /** Number of the job in `jobSubjects`; 0: of no job. */
  readonly jobs: Uint32Array;
  /** Number in the job, without holes, from 1; 0: of no job. */
  readonly jobOrdinals: Float64Array;
  /** Field number of the payload, also of kinds that this release does not know. */
  readonly kinds: Uint32Array;
  /** When it was accepted, in milliseconds since the epoch. Never decreasing. */
  readonly times: Float64Array;
  /** Holds the stored encodings: `tailrace.v1.Event` without fields 1 to 3, beginning with field 4 (`time`). */
  readonly bytes: Uint8Array;
  /** Where the stored encoding of an event begins and ends in `bytes`. */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
  /** Names the workers. */
  readonly subjects: Subjects;
  /** Names the jobs. */
  readonly jobSubjects: Subjects;
}

/** Bytes that the events of a block have stored. */
export function storedBytes({ length, starts, ends }: EventBlock): number {
  return (ends[length - 1] as number) - (starts[0] as number);
}

/** The position after event `index` of the block, in the scopes of the event's own worker and job. */
export function positionAfter(block: EventBlock, index: number): Position {
  return {
    sequence: block.sequences[index] as number,
    ordinal: block.ordinals[index] as number,
    workerHash: block.subjects.hashOf(block.workers[index] as number),
    workerOrdinal: block.workerOrdinals[index] as number,
    jobHash: block.jobSubjects.hashOf(block.jobs[index] as number),
    jobOrdinal: block.jobOrdinals[index] as number,
  };
}

let noJobNumbers = new Uint32Array(1024);
let noJobOrdinals = new Float64Array(1024);

/** The job columns of a block whose events have them, if any of them is of a job. */
export function jobsOf(events: {
  readonly length: number;
  readonly jobs: Uint32Array | undefined;
  readonly jobOrdinals: Float64Array | undefined;
}): Pick<EventBlock, "jobs" | "jobOrdinals"> {
  const { length, jobs, jobOrdinals } = events;
  if (jobs !== undefined && jobOrdinals !== undefined) return { jobs, jobOrdinals };
  // All blocks without events of jobs share the same zeros.
  if (length > noJobNumbers.length) {
    noJobNumbers = new Uint32Array(length * 2);
    noJobOrdinals = new Float64Array(length * 2);
  }
  return { jobs: noJobNumbers, jobOrdinals: noJobOrdinals };
}
