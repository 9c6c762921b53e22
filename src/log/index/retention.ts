import { invalidRequest } from "../../base/errors.ts";
import { defaultRetention, type RetentionLimits } from "../../base/limits.ts";
import type { Chunk } from "./chunk.ts";
import type { EventColumns } from "./columns.ts";
import { MaxHeap } from "./heap.ts";
import type { Holders } from "./holders.ts";
import type { FloorRaise, ScopeEntry } from "./scope-entry.ts";

/** The limits with defaults filled in. @throws TailraceError `invalid_request` naming the limit. */
export function resolveRetention(given: Partial<RetentionLimits> = {}): RetentionLimits {
  const resolved: Record<string, number> = { ...defaultRetention };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (!(name in defaultRetention)) {
      throw invalidRequest(`retention.${name}`, `is no limit; there are ${Object.keys(defaultRetention).join(", ")}`);
    }
    if (typeof value !== "number" || !(value >= 0)) {
      throw invalidRequest(`retention.${name}`, "must be a number from 0 up; Infinity switches the limit off");
    }
    resolved[name] = value;
  }
  return resolved as unknown as RetentionLimits;
}

/**
 * Decides what goes. It counts what is retained once the group being committed is in, and takes the oldest events of
 * workers and jobs beyond their own limits, then of whoever holds most until the whole log is within its limits, so that
 * one that publishes little keeps its history however much the others publish.
 */
export class Retention {
  #limits: RetentionLimits;
  readonly #columns: EventColumns;
  readonly #holders: Holders;
  /** Those that hold something, by their slots, which are given out again: so the heaps stay as small as they are many. */
  readonly #bySlot: (ScopeEntry | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  readonly #byEvents = new MaxHeap();
  readonly #byBytes = new MaxHeap();
  readonly #shrunk = new Set<ScopeEntry>();
  /** Those that stay beyond their limits until the hold moves. */
  #delayed = new Set<ScopeEntry>();
  #hold = Number.POSITIVE_INFINITY;
  /** Whether the whole log holds nothing that could go before the hold moves. */
  #allHeld = false;
  #events = 0;
  #bytes = 0;

  constructor(limits: RetentionLimits, columns: EventColumns, holders: Holders) {
    this.#limits = limits;
    this.#columns = columns;
    this.#holders = holders;
  }

  get limits(): RetentionLimits {
    return this.#limits;
  }

  /** From the next plan on. */
  set limits(limits: RetentionLimits) {
    this.#limits = limits;
    this.#allHeld = false;
  }

  /** Milliseconds after which an event goes. Both age limits are the same for every worker, so the smaller one holds. */
  get maxAgeMs(): number {
    return Math.min(this.limits.ageMs, this.limits.workerAgeMs);
  }

  /** Nothing after this sequence goes. */
  get hold(): number {
    return this.#hold;
  }

  set hold(sequence: number) {
    this.#hold = sequence;
    this.#allHeld = false;
  }

  /** Counts events on their way in, or, negative, events that are gone or taken back. */
  count(entry: ScopeEntry, events: number, bytes: number): void {
    this.countUnranked(entry, events, bytes);
    this.rank(entry);
  }

  /** The same for many events of one entry, which is to be ranked after the last of them. */
  countUnranked(entry: ScopeEntry, events: number, bytes: number): void {
    entry.plannedEvents += events;
    entry.plannedBytes += bytes;
    this.#events += events;
    this.#bytes += bytes;
  }

  /** Notes how much an entry holds compared to the others. */
  rank(entry: ScopeEntry): void {
    if (entry.slot < 0) {
      if (entry.plannedEvents === 0) return;
      entry.slot = this.#freeSlots.pop() ?? this.#bySlot.length;
      this.#bySlot[entry.slot] = entry;
    }
    this.#byEvents.set(entry.slot, entry.plannedEvents, entry.rank);
    this.#byBytes.set(entry.slot, entry.plannedBytes, entry.rank);
    if (entry.plannedEvents > 0) return;
    this.#bySlot[entry.slot] = undefined;
    this.#freeSlots.push(entry.slot);
    entry.slot = -1;
  }

  /** Counts what an entry holds without the group that was being committed. */
  takeBack(entry: ScopeEntry): void {
    entry.plannedDrops = 0;
    this.#allHeld = false;
    this.count(entry, entry.heldEvents - entry.plannedEvents, entry.heldBytes - entry.plannedBytes);
  }

  /**
   * What a job holds counts against its workers from now on, which are added to `heirs` and are to be ranked after the last
   * job; what is below their floors goes.
   */
  handOver(job: ScopeEntry, heirs: Set<ScopeEntry>): void {
    job.plannedForgotten = true;
    for (let i = 0; i < job.queue.length; i++) {
      const sequence = job.queue.at(i);
      const chunk = this.#columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      const size = chunk.sizes[row] as number;
      this.countUnranked(job, -1, -size);
      const worker = this.#holders.workerOf(chunk, row);
      if (sequence <= worker.floor.sequence) continue;
      this.countUnranked(worker, 1, size);
      heirs.add(worker);
    }
    this.rank(job);
  }

  /** What has to go, given the entries that hold more than before, and the time. Jobs come before workers. */
  plan(grown: Iterable<ScopeEntry>, nowMs: number): FloorRaise[] {
    const delayed = this.#delayed;
    if (delayed.size > 0) this.#delayed = new Set();
    for (const entry of grown) this.#takeExcess(entry);
    for (const entry of delayed) this.#takeExcess(entry);
    this.#takeAged(nowMs - this.maxAgeMs);
    this.#takeFromLargest(this.#byEvents, () => this.#events > this.limits.events);
    this.#takeFromLargest(this.#byBytes, () => this.#bytes > this.limits.bytes);
    const ofJobs: FloorRaise[] = [];
    const ofWorkers: FloorRaise[] = [];
    for (const entry of this.#shrunk) {
      const sequence = entry.queue.at(entry.plannedDrops - 1);
      const chunk = this.#columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      const ordinal = chunk.ordinals[row] as number;
      const ordinals = entry.isJob ? chunk.jobOrdinals : chunk.workerOrdinals;
      (entry.isJob ? ofJobs : ofWorkers).push({ entry, sequence, ordinal, scopeOrdinal: ordinals?.[row] as number });
    }
    this.#shrunk.clear();
    return ofJobs.length === 0 ? ofWorkers : [...ofJobs, ...ofWorkers];
  }

  /** Looks at these entries again with the next plan: they may hold more than they should. */
  lookAgainAt(entries: Iterable<ScopeEntry>): void {
    for (const entry of entries) this.#delayed.add(entry);
    this.#allHeld = false;
  }

  /** When the oldest event that may go came in; undefined if there is none, or if it is held. */
  oldestTime(): number | undefined {
    for (const chunk of this.#columns.chunks) {
      if (chunk.live === 0) continue;
      for (let row = 0; row < chunk.length; row++) {
        if (!this.#isLeft(chunk, row)) continue;
        return (chunk.sequences[row] as number) > this.#hold ? undefined : (chunk.times[row] as number);
      }
    }
    return undefined;
  }

  #takeExcess(entry: ScopeEntry): void {
    while (entry.plannedEvents > this.limits.workerEvents || entry.plannedBytes > this.limits.workerBytes) {
      if (this.#takeOldest(entry)) continue;
      this.#delayed.add(entry);
      return;
    }
  }

  #takeAged(beforeMs: number): void {
    if (beforeMs === Number.NEGATIVE_INFINITY) return;
    for (const chunk of this.#columns.chunks) {
      if (chunk.live === 0) continue;
      if (chunk.length === 0 || (chunk.times[0] as number) >= beforeMs) return;
      for (let row = 0; row < chunk.length; row++) {
        if ((chunk.times[row] as number) >= beforeMs) return;
        // Times follow the order of the log, so the oldest that is left is the first of its holder.
        if (this.#isLeft(chunk, row) && !this.#takeOldest(this.#holders.plannedOf(chunk, row) as ScopeEntry)) return;
      }
    }
  }

  #takeFromLargest(heap: MaxHeap, isOver: () => boolean): void {
    if (this.#allHeld) return;
    let held: ScopeEntry[] | undefined;
    while (isOver()) {
      const slot = heap.top();
      if (slot === undefined) {
        // What comes later is held too.
        this.#allHeld = true;
        break;
      }
      const entry = this.#bySlot[slot] as ScopeEntry;
      if (this.#takeOldest(entry)) continue;
      heap.set(slot, 0, 0);
      held ??= [];
      held.push(entry);
    }
    for (const entry of held ?? []) this.rank(entry);
  }

  /** Takes the oldest event that counts against an entry. False: it is held. */
  #takeOldest(entry: ScopeEntry): boolean {
    const { queue } = entry;
    for (let drops = entry.plannedDrops; drops < queue.length; ) {
      const sequence = queue.at(drops++);
      if (sequence > this.#hold) return false;
      const chunk = this.#columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      // What counts against a job leaves the scope of its worker when the worker's floor passes it, and no more.
      if (chunk.jobs !== undefined && this.#holders.plannedOf(chunk, row) !== entry) continue;
      entry.plannedDrops = drops;
      this.#shrunk.add(entry);
      this.count(entry, -1, -(chunk.sizes[row] as number));
      if (entry.isJob) this.#raiseWorker(this.#holders.workerOf(chunk, row), sequence);
      return true;
    }
    return false;
  }

  /** An event of a worker's job goes, and with it what the worker itself holds up to there. */
  #raiseWorker(worker: ScopeEntry, through: number): void {
    const { queue } = worker;
    while (worker.plannedDrops < queue.length && queue.at(worker.plannedDrops) <= through) {
      const sequence = queue.at(worker.plannedDrops++);
      this.#shrunk.add(worker);
      const chunk = this.#columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      if (this.#holders.plannedOf(chunk, row) === worker) this.count(worker, -1, -(chunk.sizes[row] as number));
    }
  }

  /** Whether the event in a row was not removed, and does not go with the group being committed. */
  #isLeft(chunk: Chunk, row: number): boolean {
    const holder = this.#holders.plannedOf(chunk, row);
    if (holder === undefined || holder.plannedDrops >= holder.queue.length) return false;
    return (chunk.sequences[row] as number) >= holder.queue.at(holder.plannedDrops);
  }
}
