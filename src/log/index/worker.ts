import { SequenceQueue } from "./queue.ts";

/** The highest event that was removed: from a worker or, with `workerOrdinal` 0, from the runtime. */
export interface Floor {
  readonly sequence: number;
  readonly ordinal: number;
  readonly workerOrdinal: number;
}

export const noFloor: Floor = { sequence: 0, ordinal: 0, workerOrdinal: 0 };

/** The new floor of a worker: everything of it up to there goes. */
export interface FloorRaise extends Floor {
  /** Number of the worker in `Subjects`. */
  readonly worker: number;
}

/**
 * What the index knows of a worker. Worker 0 stands for the events of no worker. Fields whose names begin with
 * "planned" include the group that is being committed; readers see the others.
 */
export class WorkerEntry {
  readonly number: number;
  readonly id: string;
  /** Sequences of the events that are retained, and of those being committed. */
  readonly queue = new SequenceQueue();
  floor: Floor;
  lastOrdinal = 0;
  createTimeMs = 0;
  lastTimeMs = 0;
  retainedEvents = 0;
  retainedBytes = 0;

  plannedLastOrdinal = 0;
  plannedEvents = 0;
  plannedBytes = 0;
  /** How many at the front of the queue the group being committed removes. */
  plannedDrops = 0;

  constructor(number: number, id: string, floor: Floor) {
    this.number = number;
    this.id = id;
    this.floor = floor;
  }

  /** Whether a committed event made it exist. */
  get exists(): boolean {
    return this.createTimeMs > 0;
  }
}
