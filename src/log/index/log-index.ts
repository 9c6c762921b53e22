import type { RetentionLimits } from "../../base/limits.ts";
import type { JobRecord, WorkerRecord } from "../contract.ts";
import type { Subjects } from "../subjects.ts";
import type { Chunk } from "./chunk.ts";
import { EventColumns } from "./columns.ts";
import { Holders } from "./holders.ts";
import { Retention } from "./retention.ts";
import { type Floor, type FloorRaise, noFloor, type ScopeEntry } from "./scope-entry.ts";
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
  readonly holders = new Holders();
  readonly retention: Retention;
  #head: Head = { sequence: 0, ordinal: 0, timeMs: 0 };
  #timeMs = 0;
  #floor: Floor = noFloor;
  #forgottenFloor: Floor = noFloor;

  /** @param uses counts what of each segment is retained. Default: by segment. */
  constructor(limits: RetentionLimits, uses = new SegmentUses()) {
    this.uses = uses;
    this.retention = new Retention(limits, this.columns, this.holders);
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

  /** Of the runtime: the highest event removed. */
  get floor(): Floor {
    return this.#floor;
  }

  /** The highest event removed from a worker that was forgotten: the floor of workers that do not exist. */
  get forgottenFloor(): Floor {
    return this.#forgottenFloor;
  }

  /** The worker that the next event of an id belongs to, on its way to exist if it does not yet. */
  workerToGrow(workerId: string): ScopeEntry {
    return this.workers.toGrow(workerId, 0, this.#forgottenFloor);
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

  /** Makes the staged events visible. What retention removes stays until `raise`. */
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
    this.forgetJobs(group.forgottenJobs);
    for (const entry of group.forgottenWorkers) this.forgetWorker(entry);
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

  /** Removes what retention decided on, and raises the floors. Jobs come before workers. */
  raise(raises: readonly FloorRaise[]): void {
    if (raises.length === 0) return;
    const touched = new Set<Chunk>();
    for (const raise of raises) {
      if (raise.entry.isJob) this.#raiseJob(raise.entry, raise, touched);
      else this.#raiseWorker(raise.entry, raise, touched);
    }
    this.#pack(touched);
  }

  /**
   * Removes what was lost though retention kept it, as if retention had removed everything of those workers and jobs up
   * to there.
   * @param through which sequence, by worker or job. What a job loses its workers lose too.
   */
  lose(through: ReadonlyMap<ScopeEntry, number>): void {
    const all = new Map(through);
    for (const [job, sequence] of through) {
      if (!job.isJob) continue;
      for (let i = job.queue.indexAfter(sequence) - 1; i >= 0; i--) {
        const own = job.queue.at(i);
        const chunk = this.columns.chunkOf(own);
        const worker = this.holders.workerOf(chunk, chunk.rowAfter(own - 1));
        if ((all.get(worker) ?? 0) < own) all.set(worker, own);
      }
    }
    const raises = [...all].flatMap(([entry, sequence]) => this.#raiseTo(entry, sequence) ?? []);
    this.raise(raises.toSorted((a, b) => Number(b.entry.isJob) - Number(a.entry.isJob)));
    for (const { entry } of raises) this.retention.takeBack(entry);
  }

  /** Jobs are only names from now on. What they held counts against their workers, or goes. */
  forgetJobs(jobs: readonly ScopeEntry[]): void {
    if (jobs.length === 0) return;
    const touched = new Set<Chunk>();
    for (const job of jobs) {
      job.forgotten = true;
      job.plannedForgotten = true;
      this.jobs.unlist(job);
      for (let i = 0; i < job.queue.length; i++) {
        const sequence = job.queue.at(i);
        const chunk = this.columns.chunkOf(sequence);
        const row = chunk.rowAfter(sequence - 1);
        const worker = this.holders.workerOf(chunk, row);
        if (sequence > worker.floor.sequence) {
          worker.sharedEvents--;
          worker.sharedBytes -= chunk.sizes[row] as number;
          job.outsideEvents++;
        } else {
          worker.outsideEvents--;
          this.#removeRow(chunk, row, touched);
        }
      }
      job.queue.dropFirst(job.queue.length);
      job.retainedEvents = 0;
      job.retainedBytes = 0;
      if (!job.isNamed) this.jobs.letGo(job);
    }
    this.#pack(touched);
  }

  forgetWorker(worker: ScopeEntry): void {
    this.raiseForgotten(worker.floor);
    this.workers.unlist(worker);
    this.workers.letGo(worker);
  }

  isLive(chunk: Chunk, row: number): boolean {
    const holder = this.holders.of(chunk, row);
    return holder !== undefined && (chunk.sequences[row] as number) > holder.floor.sequence;
  }

  moveHead(sequence: number, ordinal: number, timeMs: number): void {
    this.#head = { sequence, ordinal, timeMs };
  }

  /** Raises the floor of the runtime. */
  raiseRuntime(floor: Floor): void {
    if (floor.sequence > this.#floor.sequence) this.#floor = runtimeFloor(floor);
  }

  raiseForgotten(floor: Floor): void {
    if (floor.sequence > this.#forgottenFloor.sequence) this.#forgottenFloor = runtimeFloor(floor);
  }

  putState(state: ReadonlyMap<string, Uint8Array | null>): void {
    for (const [key, value] of state) {
      if (value === null) this.state.delete(key);
      else this.state.set(key, value);
    }
  }

  /** The raise that takes everything in the scope of an entry up to a sequence; undefined: that is nothing. */
  #raiseTo(entry: ScopeEntry, through: number): FloorRaise | undefined {
    const drops = entry.queue.indexAfter(through);
    if (drops === 0) return undefined;
    const sequence = entry.queue.at(drops - 1);
    const chunk = this.columns.chunkOf(sequence);
    const row = chunk.rowAfter(sequence - 1);
    const ordinals = entry.isJob ? chunk.jobOrdinals : chunk.workerOrdinals;
    const ordinal = chunk.ordinals[row] as number;
    return { entry, sequence, ordinal, scopeOrdinal: ordinals?.[row] as number };
  }

  #jobAt(number: number): ScopeEntry | undefined {
    return number === 0 ? undefined : this.jobs.get(number);
  }

  #raiseJob(job: ScopeEntry, floor: Floor, touched: Set<Chunk>): void {
    this.#raiseFloor(job, floor);
    const drops = job.queue.indexAfter(floor.sequence);
    for (let i = 0; i < drops; i++) {
      const sequence = job.queue.at(i);
      const chunk = this.columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      const worker = this.holders.workerOf(chunk, row);
      job.retainedEvents--;
      job.retainedBytes -= chunk.sizes[row] as number;
      // One in the scope of the worker leaves that with the raise of the worker's own floor, which comes with this one.
      if (sequence <= worker.floor.sequence) worker.outsideEvents--;
      this.#removeRow(chunk, row, touched);
    }
    dropFirst(job, drops);
  }

  #raiseWorker(worker: ScopeEntry, floor: Floor, touched: Set<Chunk>): void {
    this.#raiseFloor(worker, floor);
    const drops = worker.queue.indexAfter(floor.sequence);
    for (let i = 0; i < drops; i++) {
      const sequence = worker.queue.at(i);
      const chunk = this.columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      const size = chunk.sizes[row] as number;
      worker.retainedEvents--;
      worker.retainedBytes -= size;
      const job = this.holders.jobOf(chunk, row);
      if (job === undefined || job.forgotten) {
        if (job !== undefined) this.#unname(job);
        this.#removeRow(chunk, row, touched);
      } else {
        worker.sharedEvents--;
        worker.sharedBytes -= size;
        if (sequence > job.floor.sequence) worker.outsideEvents++;
      }
    }
    dropFirst(worker, drops);
  }

  #raiseFloor(entry: ScopeEntry, { sequence, ordinal, scopeOrdinal }: Floor): void {
    if (sequence > entry.floor.sequence) entry.floor = { sequence, ordinal, scopeOrdinal };
    this.raiseRuntime(entry.floor);
  }

  #removeRow(chunk: Chunk, row: number, touched: Set<Chunk>): void {
    chunk.live--;
    touched.add(chunk);
    this.uses.count(chunk.segments[row] as number, -1, -(chunk.sizes[row] as number));
  }

  /** An event that names a forgotten job is gone. */
  #unname(job: ScopeEntry): void {
    job.outsideEvents--;
    if (!job.isNamed) this.jobs.letGo(job);
  }

  #pack(touched: ReadonlySet<Chunk>): void {
    this.columns.pack(touched, (chunk, row) => this.isLive(chunk, row));
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

function dropFirst(entry: ScopeEntry, drops: number): void {
  entry.queue.dropFirst(drops);
  entry.plannedDrops = Math.max(0, entry.plannedDrops - drops);
}

function runtimeFloor({ sequence, ordinal }: Floor): Floor {
  return { sequence, ordinal, scopeOrdinal: 0 };
}
