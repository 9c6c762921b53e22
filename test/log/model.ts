import type { RetentionLimits } from "../../src/base/limits.ts";
import type { PendingEvent } from "../../src/log/contract.ts";
import type { Seen } from "./harness.ts";

interface ModelEvent extends Seen {
  readonly bytes: number;
}

interface ModelWorker {
  lastOrdinal: number;
  floorSequence: number;
  floorOrdinal: number;
}

/** What a log should hold, the simplest way: one list, looked through for everything. */
export class LogModel {
  events: ModelEvent[] = [];
  readonly workers = new Map<string, ModelWorker>();
  readonly state = new Map<string, number>();
  headOrdinal = 0;
  floorSequence = 0;
  readonly #limits: RetentionLimits;

  constructor(limits: RetentionLimits) {
    this.#limits = limits;
  }

  append(batch: readonly PendingEvent[], firstSequence: number, timeMs: number, texts: readonly string[]): void {
    const timeBytes = timePrefixBytes(timeMs);
    for (const [i, one] of batch.entries()) {
      const worker = this.#worker(one.workerId);
      this.headOrdinal++;
      worker.lastOrdinal++;
      this.events.push({
        sequence: firstSequence + i,
        ordinal: this.headOrdinal,
        workerId: one.workerId,
        workerOrdinal: one.workerId === "" ? 0 : worker.lastOrdinal,
        kind: one.kind,
        timeMs,
        text: texts[i] as string,
        bytes: timeBytes + one.body.length,
      });
    }
  }

  /** Removes what is beyond the limits. */
  trim(nowMs: number): void {
    for (const workerId of this.workers.keys()) {
      const own = () => this.events.filter((one) => one.workerId === workerId);
      while (own().length > this.#limits.workerEvents || bytesOf(own()) > this.#limits.workerBytes)
        this.#remove(own()[0]);
    }
    const maxAgeMs = Math.min(this.#limits.ageMs, this.#limits.workerAgeMs);
    for (const old of this.events.filter((one) => one.timeMs < nowMs - maxAgeMs)) this.#remove(old);
  }

  get hasWholeLogLimit(): boolean {
    return this.#limits.events !== Number.POSITIVE_INFINITY || this.#limits.bytes !== Number.POSITIVE_INFINITY;
  }

  /** Whether what is retained is within the limits of the whole log. */
  isWithinLimits(retained: readonly Seen[]): boolean {
    const sequences = new Set(retained.map((one) => one.sequence));
    const held = this.events.filter((one) => sequences.has(one.sequence));
    return held.length <= this.#limits.events && bytesOf(held) <= this.#limits.bytes;
  }

  /** The oldest events of a worker go until `retained` are left. */
  keepNewest(workerId: string, retained: number): void {
    const own = this.events.filter((one) => one.workerId === workerId);
    for (const old of own.slice(0, own.length - retained)) this.#remove(old);
  }

  of(workerIds: readonly string[] | undefined): Seen[] {
    return this.events
      .filter((one) => workerIds === undefined || workerIds.includes(one.workerId))
      .map(({ bytes: _bytes, ...seen }) => seen);
  }

  #worker(workerId: string): ModelWorker {
    let worker = this.workers.get(workerId);
    if (worker === undefined) {
      worker = { lastOrdinal: 0, floorSequence: 0, floorOrdinal: 0 };
      this.workers.set(workerId, worker);
    }
    return worker;
  }

  #remove(event: ModelEvent | undefined): void {
    if (event === undefined) throw new Error("there is nothing left to remove");
    this.events = this.events.filter((one) => one !== event);
    const worker = this.#worker(event.workerId);
    worker.floorSequence = event.sequence;
    worker.floorOrdinal = event.workerOrdinal;
    this.floorSequence = Math.max(this.floorSequence, event.sequence);
  }
}

function bytesOf(events: readonly ModelEvent[]): number {
  return events.reduce((sum, one) => sum + one.bytes, 0);
}

/** Bytes of field `time`: tag and length, seconds as a varint of 5 bytes, nanos as one of 4 or 5. */
function timePrefixBytes(timeMs: number): number {
  const nanos = (timeMs % 1000) * 1_000_000;
  return 2 + 6 + (nanos === 0 ? 0 : nanos < 2 ** 28 ? 5 : 6);
}
