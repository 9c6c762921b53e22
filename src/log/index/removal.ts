import type { Chunk } from "./chunk.ts";
import type { EventColumns } from "./columns.ts";
import type { Holders } from "./holders.ts";
import type { Retention } from "./retention.ts";
import { type Floor, type FloorRaise, noFloor, type ScopeEntry } from "./scope-entry.ts";
import type { SegmentUses } from "./segment-uses.ts";

/**
 * Takes committed events out of the index: what retention decided on, what was lost, and what was held by a job or a worker
 * that is forgotten. Floors say up to where that went.
 */
export class Removal {
  readonly #columns: EventColumns;
  readonly #holders: Holders;
  readonly #uses: SegmentUses;
  readonly #retention: Retention;
  #floor: Floor = noFloor;
  #forgottenFloor: Floor = noFloor;

  constructor(columns: EventColumns, holders: Holders, uses: SegmentUses, retention: Retention) {
    this.#columns = columns;
    this.#holders = holders;
    this.#uses = uses;
    this.#retention = retention;
  }

  /** Of the runtime: the highest event removed. */
  get floor(): Floor {
    return this.#floor;
  }

  /** The highest event removed from a worker that was forgotten: the floor of workers that do not exist. */
  get forgottenFloor(): Floor {
    return this.#forgottenFloor;
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
        const chunk = this.#columns.chunkOf(own);
        const worker = this.#holders.workerOf(chunk, chunk.rowAfter(own - 1));
        if ((all.get(worker) ?? 0) < own) all.set(worker, own);
      }
    }
    const raises = [...all].flatMap(([entry, sequence]) => this.#raiseTo(entry, sequence) ?? []);
    this.raise(raises.toSorted((a, b) => Number(b.entry.isJob) - Number(a.entry.isJob)));
    for (const { entry } of raises) this.#retention.takeBack(entry);
  }

  /** Jobs are only names from now on. What they held counts against their workers, or goes. */
  forgetJobs(jobs: readonly ScopeEntry[]): void {
    if (jobs.length === 0) return;
    const touched = new Set<Chunk>();
    for (const job of jobs) {
      job.forgotten = true;
      job.plannedForgotten = true;
      this.#holders.jobs.unlist(job);
      for (let i = 0; i < job.queue.length; i++) {
        const sequence = job.queue.at(i);
        const chunk = this.#columns.chunkOf(sequence);
        const row = chunk.rowAfter(sequence - 1);
        const worker = this.#holders.workerOf(chunk, row);
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
      if (!job.isNamed) this.#holders.jobs.letGo(job);
    }
    this.#pack(touched);
  }

  forgetWorker(worker: ScopeEntry): void {
    this.raiseForgotten(worker.floor);
    this.#holders.workers.unlist(worker);
    this.#holders.workers.letGo(worker);
  }

  /** Raises the floor of the runtime. */
  raiseRuntime(floor: Floor): void {
    if (floor.sequence > this.#floor.sequence) this.#floor = runtimeFloor(floor);
  }

  raiseForgotten(floor: Floor): void {
    if (floor.sequence > this.#forgottenFloor.sequence) this.#forgottenFloor = runtimeFloor(floor);
  }

  /** The raise that takes everything in the scope of an entry up to a sequence; undefined: that is nothing. */
  #raiseTo(entry: ScopeEntry, through: number): FloorRaise | undefined {
    const drops = entry.queue.indexAfter(through);
    if (drops === 0) return undefined;
    const sequence = entry.queue.at(drops - 1);
    const chunk = this.#columns.chunkOf(sequence);
    const row = chunk.rowAfter(sequence - 1);
    const ordinals = entry.isJob ? chunk.jobOrdinals : chunk.workerOrdinals;
    const ordinal = chunk.ordinals[row] as number;
    return { entry, sequence, ordinal, scopeOrdinal: ordinals?.[row] as number };
  }

  #raiseJob(job: ScopeEntry, floor: Floor, touched: Set<Chunk>): void {
    this.#raiseFloor(job, floor);
    const drops = job.queue.indexAfter(floor.sequence);
    for (let i = 0; i < drops; i++) {
      const sequence = job.queue.at(i);
      const chunk = this.#columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      const worker = this.#holders.workerOf(chunk, row);
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
      const chunk = this.#columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      const size = chunk.sizes[row] as number;
      worker.retainedEvents--;
      worker.retainedBytes -= size;
      const job = this.#holders.jobOf(chunk, row);
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
    this.#uses.count(chunk.segments[row] as number, -1, -(chunk.sizes[row] as number));
  }

  /** An event that names a forgotten job is gone. */
  #unname(job: ScopeEntry): void {
    job.outsideEvents--;
    if (!job.isNamed) this.#holders.jobs.letGo(job);
  }

  #pack(touched: ReadonlySet<Chunk>): void {
    this.#columns.pack(touched, (chunk, row) => this.#holders.isLive(chunk, row));
  }
}

function dropFirst(entry: ScopeEntry, drops: number): void {
  entry.queue.dropFirst(drops);
  entry.plannedDrops = Math.max(0, entry.plannedDrops - drops);
}

function runtimeFloor({ sequence, ordinal }: Floor): Floor {
  return { sequence, ordinal, scopeOrdinal: 0 };
}
