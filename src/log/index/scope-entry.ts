import { SequenceQueue } from "./queue.ts";

/** The highest event that was removed. */
export interface Floor {
  readonly sequence: number;
  readonly ordinal: number;
  /** Its number in the worker or the job whose floor it is; 0 for the runtime's. */
  readonly scopeOrdinal: number;
}

export const noFloor: Floor = { sequence: 0, ordinal: 0, scopeOrdinal: 0 };

/** The new floor of a worker or a job: everything of it up to there goes. */
export interface FloorRaise extends Floor {
  readonly entry: ScopeEntry;
}

/**
 * What the index knows of a worker or of a job. Worker 0 stands for the events of no worker. Fields whose names begin
 * with "planned" include the group that is being committed; readers see the others.
 *
 * Everything of a worker above its floor is in its scope. What counts against it is less: not what counts against a job
 * that is remembered. All of a remembered job is in its scope, and counts against it.
 */
export class ScopeEntry {
  readonly isJob: boolean;
  /** Its number in the subjects of its kind. */
  readonly number: number;
  readonly id: string;
  /** Sequence of the first event of a job, by which the files of a log know it; 0 for a worker. */
  readonly firstSequence: number;
  /** Sequences of the events in its scope, and of those being committed. */
  readonly queue = new SequenceQueue();
  floor: Floor;
  lastOrdinal = 0;
  createTimeMs = 0;
  lastTimeMs = 0;
  /** What is in its scope. */
  retainedEvents = 0;
  retainedBytes = 0;
  /** Of a worker: what of that counts against jobs. */
  sharedEvents = 0;
  sharedBytes = 0;
  /** Events that name it and are retained without being in its scope: by a job, or as a forgotten job's by its worker. */
  outsideEvents = 0;
  /** A forgotten job is only a name, for what is retained of it. */
  forgotten = false;

  plannedLastOrdinal = 0;
  /** What counts against it. */
  plannedEvents = 0;
  plannedBytes = 0;
  /** How many at the front of the queue the group being committed removes. */
  plannedDrops = 0;
  plannedForgotten = false;
  /** Decides between those that hold equally much: the same for the same id, wherever it is. */
  readonly rank: number;
  /** Its place among those that are compared by what they hold; -1: it holds nothing. */
  slot = -1;

  constructor(isJob: boolean, number: number, id: string, hash: number, firstSequence: number, floor: Floor) {
    this.rank = isJob ? hash + 2 ** 32 : hash;
    this.isJob = isJob;
    this.number = number;
    this.id = id;
    this.firstSequence = firstSequence;
    this.floor = floor;
  }

  /** Whether a committed event made it exist. */
  get exists(): boolean {
    return this.createTimeMs > 0;
  }

  get heldEvents(): number {
    return this.retainedEvents - this.sharedEvents;
  }

  get heldBytes(): number {
    return this.retainedBytes - this.sharedBytes;
  }

  /** Whether something retained says its id. */
  get isNamed(): boolean {
    return this.retainedEvents + this.outsideEvents > 0;
  }

  /** Notes an event that is committed. */
  seen(timeMs: number): void {
    // A clock that stands at the epoch still makes it exist.
    if (this.createTimeMs === 0) this.createTimeMs = Math.max(1, timeMs);
    if (timeMs > this.lastTimeMs) this.lastTimeMs = timeMs;
  }
}
