import type { RetentionLimits } from "../../base/limits.ts";
import { Epochs } from "../../events/epochs.ts";
import type { JobRecord, WorkerRecord } from "../contract.ts";
import type { Subjects } from "../subjects.ts";
import { EventColumns } from "./columns.ts";
import { Holders } from "./holders.ts";
import { Removal } from "./removal.ts";
import { Retention } from "./retention.ts";
import { noFloor, type ScopeEntry } from "./scope-entry.ts";
import type { ScopeTable } from "./scope-table.ts";
import { SegmentUses } from "./segment-uses.ts";
import type { EventArrays, Placement, PlannedGroup, StagedGroup } from "./staged.ts";

/** The newest event, also when it is not retained any more. */
export interface Head {
  readonly sequence: number;
  readonly ordinal: number;
  readonly timeMs: number;
}

/**
 * What is retained, in memory: where each event lies, whose it is, and what was removed. The logs of one process share
 * this part and differ in where the bytes are.
 *
 * A group goes in by `stage` (invisible), then `commit` or `rollBack`. Only one group is staged at a time.
 */
export class LogIndex {
  readonly columns = new EventColumns();
  readonly uses: SegmentUses;
  readonly state = new Map<string, Uint8Array>();
  readonly epochs = new Epochs();
  readonly holders = new Holders();
  readonly retention: Retention;
  readonly removal: Removal;
  #head: Head = { sequence: 0, ordinal: 0, timeMs: 0 };
  #timeMs = 0;

  /** @param uses counts what of each segment is retained. Default: by segment. */
  constructor(limits: RetentionLimits, uses = new SegmentUses()) {
    this.uses = uses;
    this.retention = new Retention(limits, this.columns, this.holders);
    this.removal = new Removal(this.columns, this.holders, uses, this.retention);
  }

  get workers(): ScopeTable {
    return this.holders.workers;
  }

  get jobs(): ScopeTable {
    return this.holders.jobs;
  }

  get subjects(): Subjects {
    return this.workers.subjects;
  }

  get jobSubjects(): Subjects {
    return this.jobs.subjects;
  }

  get head(): Head {
    return this.#head;
  }

  /** When the newest group was committed, with events or without. */
  get timeMs(): number {
    return Math.max(this.#timeMs, this.#head.timeMs);
  }

  /** The worker that the next event of an id belongs to, on its way to exist if it does not yet. */
  workerToGrow(workerId: string): ScopeEntry {
    return this.workers.toGrow(workerId, 0, this.removal.forgottenFloor);
  }

  /** The same for jobs. `sequence` of that event. A job's id is its own for ever, so nothing of it was removed before. */
  jobToGrow(jobId: string, sequence: number): ScopeEntry {
    return this.jobs.toGrow(jobId, sequence, noFloor);
  }

  /** Adds the rows of events that are not committed yet. `grown` are the workers and jobs that they belong to. */
  stage(events: EventArrays, placement: Placement, grown: Iterable<ScopeEntry>): void {
    let offset = placement.offset;
    let worker = this.workers.none;
    for (let i = 0; i < events.length; i++) {
      const size = events.sizes[i] as number;
      const sequence = events.sequences[i] as number;
      this.columns.append(events, i, placement.segment, offset);
      offset += size;
      if (events.workers[i] !== worker.number) worker = this.workers.get(events.workers[i] as number) as ScopeEntry;
      worker.queue.push(sequence);
      const job = events.jobs === undefined ? undefined : this.#jobAt(events.jobs[i] as number);
      job?.queue.push(sequence);
      this.retention.countUnranked(job ?? worker, 1, size);
    }
    for (const entry of grown) this.retention.rank(entry);
  }

  /** Makes the staged events visible. What retention removes stays until `removal.raise`. */
  commit(group: StagedGroup, placement: Placement): void {
    const { events } = group;
    this.#timeMs = Math.max(this.#timeMs, group.timeMs);
    let bytes = 0;
    let worker = this.workers.none;
    for (let i = 0; i < events.length; i++) {
      const size = events.sizes[i] as number;
      if (events.workers[i] !== worker.number) worker = this.workers.get(events.workers[i] as number) as ScopeEntry;
      worker.retainedEvents++;
      worker.retainedBytes += size;
      bytes += size;
      const job = events.jobs === undefined ? undefined : this.#jobAt(events.jobs[i] as number);
      if (job === undefined) continue;
      worker.sharedEvents++;
      worker.sharedBytes += size;
      job.retainedEvents++;
      job.retainedBytes += size;
    }
    if (events.length > 0) this.uses.count(placement.segment, events.length, bytes);
    for (const entry of group.grown) {
      entry.seen(group.timeMs);
      entry.lastOrdinal = entry.plannedLastOrdinal;
    }
    this.workers.commitPlanned(group.created);
    this.jobs.commitPlanned(group.created);
    if (events.length > 0) {
      const last = events.length - 1;
      this.moveHead(events.sequences[last] as number, events.ordinals[last] as number, group.timeMs);
    }
    this.putState(group.state);
    this.removal.forgetJobs(group.forgottenJobs);
    for (const entry of group.forgottenWorkers) this.removal.forgetWorker(entry);
  }

  /** Takes back a group that could not be written. */
  rollBack(group: PlannedGroup): void {
    this.columns.truncateAfter(this.#head.sequence);
    const raised = group.raises.map((raise) => raise.entry);
    for (const entry of new Set([...group.grown, ...group.heirs, ...group.forgottenJobs, ...raised])) {
      entry.queue.dropLast(entry.queue.length - entry.retainedEvents);
      entry.plannedLastOrdinal = entry.lastOrdinal;
      entry.plannedForgotten = false;
      this.retention.takeBack(entry);
    }
    this.workers.rollBackPlanned(group.created);
    this.jobs.rollBackPlanned(group.created);
  }

  moveHead(sequence: number, ordinal: number, timeMs: number): void {
    this.#head = { sequence, ordinal, timeMs };
  }

  putState(state: ReadonlyMap<string, Uint8Array | null>): void {
    for (const [key, value] of state) {
      if (value === null) this.state.delete(key);
      else this.state.set(key, value);
    }
  }

  #jobAt(number: number): ScopeEntry | undefined {
    return number === 0 ? undefined : this.jobs.get(number);
  }
}

export function recordOfWorker(entry: ScopeEntry): WorkerRecord {
  return { workerId: entry.id, ...countsOf(entry) };
}

export function recordOfJob(entry: ScopeEntry): JobRecord {
  return { jobId: entry.id, ...countsOf(entry) };
}

function countsOf({ lastOrdinal, createTimeMs, lastTimeMs, retainedEvents, retainedBytes }: ScopeEntry) {
  return { lastOrdinal, createTimeMs, lastTimeMs, retainedEvents, retainedBytes };
}
