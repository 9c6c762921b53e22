import type { RetentionLimits } from "../../src/base/limits.ts";
import type { PendingEvent } from "../../src/log/contract.ts";
import type { Seen } from "./harness.ts";

export interface ModelEvent extends Seen {
  readonly bytes: number;
}

/** A worker or a job. */
interface ModelScope {
  lastOrdinal: number;
  floorSequence: number;
  /** Its own number of the highest event that was removed. */
  floorOrdinal: number;
}

/** What a log should hold, the simplest way: one list, looked through for everything. */
export class LogModel {
  events: ModelEvent[] = [];
  readonly workers = new Map<string, ModelScope>();
  /** Those that are remembered. */
  readonly jobs = new Map<string, ModelScope>();
  hold = Number.POSITIVE_INFINITY;
  headOrdinal = 0;
  floorSequence = 0;
  readonly #limits: RetentionLimits;
  /** Which life of its job an event is of: a job whose id comes again after it was forgotten is another one. */
  readonly #jobOf = new Map<ModelEvent, ModelScope>();

  constructor(limits: RetentionLimits) {
    this.#limits = limits;
  }

  append(batch: readonly PendingEvent[], firstSequence: number, timeMs: number, texts: readonly string[]): void {
    const timeBytes = timePrefixBytes(timeMs);
    for (const [i, one] of batch.entries()) {
      const worker = scopeOf(this.workers, one.workerId);
      const job = one.jobId === "" ? undefined : scopeOf(this.jobs, one.jobId);
      this.headOrdinal++;
      worker.lastOrdinal++;
      if (job !== undefined) job.lastOrdinal++;
      const event = {
        sequence: firstSequence + i,
        ordinal: this.headOrdinal,
        workerId: one.workerId,
        workerOrdinal: one.workerId === "" ? 0 : worker.lastOrdinal,
        jobId: one.jobId,
        jobOrdinal: job?.lastOrdinal ?? 0,
        kind: one.kind,
        timeMs,
        text: texts[i] as string,
        bytes: timeBytes + one.body.length,
      };
      this.events.push(event);
      if (job !== undefined) this.#jobOf.set(event, job);
    }
  }

  /** What a job held is its workers' from now on, unless it lies at or below their floors. */
  forgetJob(jobId: string): void {
    const job = this.jobs.get(jobId);
    if (job === undefined) return;
    this.jobs.delete(jobId);
    this.events = this.events.filter(
      (one) => this.#jobOf.get(one) !== job || one.sequence > scopeOf(this.workers, one.workerId).floorSequence,
    );
  }

  /** Removes what is beyond the limits of workers and jobs, or too old, unless it is held. */
  trim(nowMs: number): void {
    for (const holder of [...this.jobs.values(), ...this.workers.values()]) {
      for (;;) {
        const own = this.heldBy(holder);
        const isOver = own.length > this.#limits.workerEvents || bytesOf(own) > this.#limits.workerBytes;
        if (!isOver || (own[0] as ModelEvent).sequence > this.hold) break;
        this.#remove(own[0]);
      }
    }
    const maxAgeMs = Math.min(this.#limits.ageMs, this.#limits.workerAgeMs);
    const isOld = (one: ModelEvent) => one.timeMs < nowMs - maxAgeMs && one.sequence <= this.hold;
    for (const old of this.events.filter(isOld)) if (this.events.includes(old)) this.#remove(old);
  }

  get hasWholeLogLimit(): boolean {
    return this.#limits.events !== Number.POSITIVE_INFINITY || this.#limits.bytes !== Number.POSITIVE_INFINITY;
  }

  /** Whether events are within the limits of the whole log, or nothing of them may go. */
  isWithinLimits(events: readonly ModelEvent[]): boolean {
    if (events.every((one) => one.sequence > this.hold)) return true;
    return events.length <= this.#limits.events && bytesOf(events) <= this.#limits.bytes;
  }

  /** The oldest that counts against a holder goes, until its floor has come to `sequence`. */
  raiseTo(holder: ModelScope, sequence: number): void {
    while (holder.floorSequence < sequence) {
      const oldest = this.heldBy(holder)[0];
      if (oldest === undefined || oldest.sequence > sequence) break;
      this.#remove(oldest);
    }
  }

  /** What counts against a worker or a job. */
  heldBy(holder: ModelScope): ModelEvent[] {
    return this.events.filter((one) => this.#holderOf(one) === holder);
  }

  /** What is in the scope of a job. */
  ofJob(jobId: string): ModelEvent[] {
    const job = this.jobs.get(jobId);
    return job === undefined ? [] : this.heldBy(job);
  }

  /** What is retained of workers, also what no scope of theirs shows; undefined: of all. */
  of(workerIds: readonly string[] | undefined): ModelEvent[] {
    return this.events.filter((one) => workerIds === undefined || workerIds.includes(one.workerId));
  }

  #holderOf(event: ModelEvent): ModelScope {
    const job = this.#jobOf.get(event);
    if (job !== undefined && this.jobs.get(event.jobId) === job) return job;
    return scopeOf(this.workers, event.workerId);
  }

  #remove(event: ModelEvent | undefined): void {
    if (event === undefined) throw new Error("there is nothing left to remove");
    const holder = this.#holderOf(event);
    const worker = scopeOf(this.workers, event.workerId);
    if (holder !== worker) {
      holder.floorSequence = event.sequence;
      holder.floorOrdinal = event.jobOrdinal;
    }
    if (event.sequence > worker.floorSequence) {
      worker.floorSequence = event.sequence;
      worker.floorOrdinal = event.workerOrdinal;
    }
    this.floorSequence = Math.max(this.floorSequence, event.sequence);
    this.events = this.events.filter(
      (one) => one !== event && (this.#holderOf(one) !== worker || one.sequence > worker.floorSequence),
    );
  }
}

export function bytesOf(events: readonly ModelEvent[]): number {
  return events.reduce((sum, one) => sum + one.bytes, 0);
}

/** The same events as a reader sees them. */
export function seenAs(events: readonly ModelEvent[]): Seen[] {
  return events.map(({ bytes: _bytes, ...seen }) => seen);
}

function scopeOf(scopes: Map<string, ModelScope>, id: string): ModelScope {
  let scope = scopes.get(id);
  if (scope === undefined) {
    scope = { lastOrdinal: 0, floorSequence: 0, floorOrdinal: 0 };
    scopes.set(id, scope);
  }
  return scope;
}

/** Bytes of field `time`: tag and length, seconds as a varint of 5 bytes, nanos, unless they are 0, as one of 3 to 5. */
function timePrefixBytes(timeMs: number): number {
  const nanos = (timeMs % 1000) * 1_000_000;
  return 2 + 6 + (nanos === 0 ? 0 : 1 + Math.ceil(Math.log2(nanos + 1) / 7));
}
