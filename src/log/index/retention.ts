import { invalidRequest } from "../../base/errors.ts";
import { defaultRetention, type RetentionLimits } from "../../base/limits.ts";
import type { EventColumns } from "./columns.ts";
import { MaxHeap } from "./heap.ts";
import type { FloorRaise, WorkerEntry } from "./worker.ts";

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
 * workers beyond their own limits, then of whoever holds most until the whole log is within its limits, so that a worker
 * that publishes little keeps its history however much the others publish.
 */
export class Retention {
  readonly limits: RetentionLimits;
  hold = Number.POSITIVE_INFINITY;
  readonly #columns: EventColumns;
  readonly #entries: readonly (WorkerEntry | undefined)[];
  readonly #byEvents = new MaxHeap();
  readonly #byBytes = new MaxHeap();
  readonly #shrunk = new Set<WorkerEntry>();
  #events = 0;
  #bytes = 0;

  constructor(limits: RetentionLimits, columns: EventColumns, entries: readonly (WorkerEntry | undefined)[]) {
    this.limits = limits;
    this.#columns = columns;
    this.#entries = entries;
  }

  /** Milliseconds after which an event goes. Both age limits are the same for every worker, so the smaller one holds. */
  get maxAgeMs(): number {
    return Math.min(this.limits.ageMs, this.limits.workerAgeMs);
  }

  /** Counts events on their way in, or, negative, events that are gone or taken back. */
  count(entry: WorkerEntry, events: number, bytes: number): void {
    this.countUnranked(entry, events, bytes);
    this.rank(entry);
  }

  /** The same for many events of a worker, which is to be ranked after the last of them. */
  countUnranked(entry: WorkerEntry, events: number, bytes: number): void {
    entry.plannedEvents += events;
    entry.plannedBytes += bytes;
    this.#events += events;
    this.#bytes += bytes;
  }

  /** Notes how much a worker holds compared to the others. */
  rank(entry: WorkerEntry): void {
    this.#byEvents.set(entry.number, entry.plannedEvents);
    this.#byBytes.set(entry.number, entry.plannedBytes);
  }

  /** What has to go, given the workers that grew and the oldest retained sequence and the time. */
  plan(grown: Iterable<WorkerEntry>, nowMs: number): FloorRaise[] {
    for (const entry of grown) {
      while (entry.plannedEvents > this.limits.workerEvents || entry.plannedBytes > this.limits.workerBytes) {
        this.#takeOldest(entry);
      }
    }
    this.#takeAged(nowMs - this.maxAgeMs);
    while (this.#events > this.limits.events) this.#takeOldest(this.#entryOf(this.#byEvents.top()));
    while (this.#bytes > this.limits.bytes) this.#takeOldest(this.#entryOf(this.#byBytes.top()));
    const raises: FloorRaise[] = [];
    for (const entry of this.#shrunk) {
      const sequence = entry.queue.at(entry.plannedDrops - 1);
      const chunk = this.#columns.chunkOf(sequence);
      const row = chunk.rowAfter(sequence - 1);
      raises.push({
        worker: entry.number,
        sequence,
        ordinal: chunk.ordinals[row] as number,
        workerOrdinal: chunk.workerOrdinals[row] as number,
      });
    }
    this.#shrunk.clear();
    return raises;
  }

  /** When the oldest event that is retained came in; undefined if nothing is. */
  oldestTime(): number | undefined {
    for (const chunk of this.#columns.chunks) {
      if (chunk.live === 0) continue;
      for (let row = 0; row < chunk.length; row++) {
        const entry = this.#entries[chunk.workers[row] as number];
        if (entry !== undefined && !isTaken(entry, chunk.sequences[row] as number)) return chunk.times[row] as number;
      }
    }
    return undefined;
  }

  #takeAged(beforeMs: number): void {
    if (beforeMs === Number.NEGATIVE_INFINITY) return;
    for (const chunk of this.#columns.chunks) {
      if (chunk.live === 0) continue;
      if (chunk.length === 0 || (chunk.times[0] as number) >= beforeMs) return;
      for (let row = 0; row < chunk.length; row++) {
        if ((chunk.times[row] as number) >= beforeMs) return;
        const entry = this.#entries[chunk.workers[row] as number];
        // Times follow the order of the log, so the oldest that is left is the first of its worker.
        if (entry !== undefined && !isTaken(entry, chunk.sequences[row] as number)) this.#takeOldest(entry);
      }
    }
  }

  #takeOldest(entry: WorkerEntry): void {
    const sequence = entry.queue.at(entry.plannedDrops);
    const chunk = this.#columns.chunkOf(sequence);
    entry.plannedDrops++;
    this.#shrunk.add(entry);
    this.count(entry, -1, -(chunk.sizes[chunk.rowAfter(sequence - 1)] as number));
  }

  #entryOf(number: number | undefined): WorkerEntry {
    return this.#entries[number as number] as WorkerEntry;
  }
}

/** Whether the event of a worker is removed already, or goes with the group being committed. */
function isTaken(entry: WorkerEntry, sequence: number): boolean {
  return entry.plannedDrops >= entry.queue.length || sequence < entry.queue.at(entry.plannedDrops);
}
