import type { RetentionLimits } from "../../base/limits.ts";
import type { JobRecord, WorkerRecord } from "../contract.ts";
import { Subjects } from "../subjects.ts";
import type { Chunk } from "./chunk.ts";
import { EventColumns } from "./columns.ts";
import { Retention } from "./retention.ts";
import { SegmentUses } from "./segment-uses.ts";
import type { EventArrays, Placement, StagedGroup } from "./staged.ts";
import { type Floor, type FloorRaise, noFloor, WorkerEntry } from "./worker.ts";

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
  readonly subjects = new Subjects();
  readonly jobSubjects = new Subjects();
  readonly jobs = new Map<string, JobRecord>();
  readonly columns = new EventColumns();
  readonly uses = new SegmentUses();
  readonly state = new Map<string, Uint8Array>();
  readonly retention: Retention;
  readonly #entries: (WorkerEntry | undefined)[] = [];
  #workerCount = 0;
  #head: Head = { sequence: 0, ordinal: 0, timeMs: 0 };
  #floor: Floor = noFloor;
  #forgottenFloor: Floor = noFloor;

  constructor(limits: RetentionLimits) {
    this.retention = new Retention(limits, this.columns, this.#entries);
    this.#entries[0] = new WorkerEntry(0, "", noFloor);
  }

  get head(): Head {
    return this.#head;
  }

  /** Of the runtime: the highest event removed. */
  get floor(): Floor {
    return this.#floor;
  }

  /** The highest event removed from a worker that was forgotten: the floor of workers that do not exist. */
  get forgottenFloor(): Floor {
    return this.#forgottenFloor;
  }

  /** Workers that exist. */
  get workerCount(): number {
    return this.#workerCount;
  }

  /** Entries by number; not all of them exist for readers. */
  get entries(): readonly (WorkerEntry | undefined)[] {
    return this.#entries;
  }

  /** The worker of an id; undefined if it does not exist. */
  entryOf(workerId: string): WorkerEntry | undefined {
    const number = this.subjects.numberOf(workerId);
    const entry = number === undefined ? undefined : this.#entries[number];
    return entry?.exists ? entry : undefined;
  }

  /** The worker of an id, on its way to exist if it does not yet. */
  entryToGrow(workerId: string): WorkerEntry {
    const number = this.subjects.intern(workerId);
    let entry = this.#entries[number];
    if (entry === undefined) {
      const floor = { ...this.#forgottenFloor, workerOrdinal: 0 };
      entry = new WorkerEntry(number, workerId, floor);
      this.#entries[number] = entry;
    }
    return entry;
  }

  /** Adds the rows of events that are not committed yet. `grown` are the workers that they belong to. */
  stage(events: EventArrays, placement: Placement, grown: Iterable<WorkerEntry>): void {
    let offset = placement.offset;
    for (let i = 0; i < events.length; i++) {
      const size = events.sizes[i] as number;
      this.#addRow(events, i, placement.segment, offset, this.#entries[events.workers[i] as number] as WorkerEntry);
      offset += size;
    }
    for (const entry of grown) this.retention.rank(entry);
  }

  /** Adds the row of an event that was committed in an earlier life of the log. `rankAll` is to follow the last one. */
  restore(events: EventArrays, i: number, segment: number, offset: number): void {
    const entry = this.#entries[events.workers[i] as number] as WorkerEntry;
    this.#addRow(events, i, segment, offset, entry);
    this.#makeVisible(entry, events.times[i] as number);
    // A checkpoint may have said more already.
    entry.lastOrdinal = entry.plannedLastOrdinal = Math.max(entry.lastOrdinal, events.workerOrdinals[i] as number);
    entry.retainedEvents++;
    entry.retainedBytes += events.sizes[i] as number;
    this.uses.count(segment, 1, events.sizes[i] as number);
  }

  rankAll(): void {
    for (const entry of this.#entries) if (entry !== undefined) this.retention.rank(entry);
  }

  #addRow(events: EventArrays, i: number, segment: number, offset: number, entry: WorkerEntry): void {
    const size = events.sizes[i] as number;
    const sequence = events.sequences[i] as number;
    const chunk = this.columns.tail();
    const row = chunk.length++;
    chunk.live++;
    chunk.sequences[row] = sequence;
    chunk.ordinals[row] = events.ordinals[i] as number;
    chunk.workers[row] = events.workers[i] as number;
    chunk.workerOrdinals[row] = events.workerOrdinals[i] as number;
    chunk.kinds[row] = events.kinds[i] as number;
    chunk.times[row] = events.times[i] as number;
    chunk.segments[row] = segment;
    chunk.offsets[row] = offset;
    chunk.sizes[row] = size;
    entry.queue.push(sequence);
    this.retention.countUnranked(entry, 1, size);
  }

  /** Makes the staged events visible. What retention removes stays until `raise`. */
  commit(group: StagedGroup, placement: Placement): void {
    const { events } = group;
    let bytes = 0;
    for (let i = 0; i < events.length; i++) {
      const entry = this.#entries[events.workers[i] as number] as WorkerEntry;
      const size = events.sizes[i] as number;
      entry.retainedEvents++;
      entry.retainedBytes += size;
      bytes += size;
    }
    if (events.length > 0) this.uses.count(placement.segment, events.length, bytes);
    for (const entry of group.grown) {
      this.#makeVisible(entry, group.timeMs);
      entry.lastOrdinal = entry.plannedLastOrdinal;
    }
    if (events.length > 0) {
      const last = events.length - 1;
      this.moveHead(events.sequences[last] as number, events.ordinals[last] as number, group.timeMs);
    }
    this.putState(group.state);
    for (const entry of group.forgotten) this.forget(entry);
  }

  /** Takes back a group that could not be written. */
  rollBack(group: Pick<StagedGroup, "grown" | "created" | "raises">): void {
    this.columns.truncateAfter(this.#head.sequence);
    for (const entry of new Set([...group.grown, ...group.raises.map((raise) => this.#entryAt(raise.worker))])) {
      entry.queue.dropLast(entry.queue.length - entry.retainedEvents);
      entry.plannedDrops = 0;
      entry.plannedLastOrdinal = entry.lastOrdinal;
      this.retention.count(entry, entry.retainedEvents - entry.plannedEvents, entry.retainedBytes - entry.plannedBytes);
    }
    for (const entry of group.created) this.#entries[entry.number] = undefined;
  }

  /** Removes what retention decided on, and raises the floors. */
  raise(raises: readonly FloorRaise[]): void {
    if (raises.length === 0) return;
    const touched = new Set<Chunk>();
    for (const raise of raises) this.#raiseWorker(this.#entryAt(raise.worker), raise, touched);
    this.columns.pack(touched, (chunk, row) => this.isLive(chunk, row));
  }

  /** Puts back the floor of a worker, and what is below it, as a log that is opened finds it. */
  restoreFloor(raise: FloorRaise): void {
    const entry = this.#entryAt(raise.worker);
    const drops = entry.queue.indexAfter(raise.sequence);
    const before = entry.retainedBytes;
    const touched = new Set<Chunk>();
    this.#raiseWorker(entry, raise, touched);
    entry.plannedDrops = 0;
    this.retention.count(entry, -drops, entry.retainedBytes - before);
    this.columns.pack(touched, (chunk, row) => this.isLive(chunk, row));
  }

  isLive(chunk: Chunk, row: number): boolean {
    const entry = this.#entries[chunk.workers[row] as number];
    return entry !== undefined && (chunk.sequences[row] as number) > entry.floor.sequence;
  }

  moveHead(sequence: number, ordinal: number, timeMs: number): void {
    this.#head = { sequence, ordinal, timeMs };
  }

  /** Raises the floor of the runtime. */
  raiseRuntime(floor: Floor): void {
    if (floor.sequence > this.#floor.sequence) {
      this.#floor = { sequence: floor.sequence, ordinal: floor.ordinal, workerOrdinal: 0 };
    }
  }

  raiseForgotten(floor: Floor): void {
    if (floor.sequence > this.#forgottenFloor.sequence) this.#forgottenFloor = { ...floor, workerOrdinal: 0 };
  }

  forget(entry: WorkerEntry): void {
    this.raiseForgotten(entry.floor);
    this.#entries[entry.number] = undefined;
    this.#workerCount--;
  }

  /** Puts back a worker as a checkpoint has it. */
  restoreWorker(entry: WorkerEntry, lastOrdinal: number, createTimeMs: number, lastTimeMs: number): void {
    this.#makeVisible(entry, createTimeMs);
    entry.lastOrdinal = entry.plannedLastOrdinal = lastOrdinal;
    entry.lastTimeMs = lastTimeMs;
  }

  putState(state: ReadonlyMap<string, Uint8Array | null>): void {
    for (const [key, value] of state) {
      if (value === null) this.state.delete(key);
      else this.state.set(key, value);
    }
  }

  recordOf(entry: WorkerEntry): WorkerRecord {
    return {
      workerId: entry.id,
      lastOrdinal: entry.lastOrdinal,
      createTimeMs: entry.createTimeMs,
      lastTimeMs: entry.lastTimeMs,
      retainedEvents: entry.retainedEvents,
      retainedBytes: entry.retainedBytes,
    };
  }

  *records(): Iterable<WorkerRecord> {
    for (let number = 1; number < this.#entries.length; number++) {
      const entry = this.#entries[number];
      if (entry?.exists) yield this.recordOf(entry);
    }
  }

  #makeVisible(entry: WorkerEntry, timeMs: number): void {
    if (!entry.exists) {
      // A clock that stands at the epoch still makes it exist.
      entry.createTimeMs = Math.max(1, timeMs);
      if (entry.number !== 0) this.#workerCount++;
    }
    entry.lastTimeMs = Math.max(entry.lastTimeMs, timeMs);
  }

  #raiseWorker(entry: WorkerEntry, floor: Floor, touched: Set<Chunk>): void {
    const drops = entry.queue.indexAfter(floor.sequence);
    for (let i = 0; i < drops; i++) {
      const sequence = entry.queue.at(i);
      const chunk = this.columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      const size = chunk.sizes[row] as number;
      chunk.live--;
      touched.add(chunk);
      entry.retainedEvents--;
      entry.retainedBytes -= size;
      this.uses.count(chunk.segments[row] as number, -1, -size);
    }
    entry.queue.dropFirst(drops);
    entry.plannedDrops = Math.max(0, entry.plannedDrops - drops);
    if (floor.sequence > entry.floor.sequence) {
      entry.floor = { sequence: floor.sequence, ordinal: floor.ordinal, workerOrdinal: floor.workerOrdinal };
    }
    this.raiseRuntime(floor);
  }

  #entryAt(number: number): WorkerEntry {
    return this.#entries[number] as WorkerEntry;
  }
}
