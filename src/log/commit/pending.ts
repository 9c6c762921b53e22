import { invalidRequest, TailraceError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { type AppendBatch, type AppendResult, isUrgent, type PendingEvent } from "../contract.ts";
import type { LogIndex } from "../index/log-index.ts";
import type { ScopeTable } from "../index/scope-table.ts";
import { sizeOf } from "../state-put.ts";
import { maxTimeBytes } from "./time.ts";

/** What an event takes while it waits, apart from its bytes. */
const eventOverheadBytes = 64;

/** An append that waits for its commit. */
export interface PendingAppend {
  readonly batch: AppendBatch;
  readonly bytes: number;
  readonly resolve: (result: AppendResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Appends that wait, with what they hold in memory.
 *
 * While one group is being written the next one gathers here; nothing else bounds how much that can become.
 */
export class PendingAppends<T extends PendingAppend = PendingAppend> {
  #waiting: T[] = [];
  #waitingBytes = 0;
  #bytes = 0;
  readonly #workers: Newcomers;
  readonly #jobs: Newcomers;

  constructor(index: LogIndex) {
    this.#workers = new Newcomers(index.workers, "worker_id");
    this.#jobs = new Newcomers(index.jobs, "job_id");
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** Bytes of those that no group has yet. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /**
   * Bytes that a batch holds while it waits, once it is found in order.
   * @throws TailraceError `invalid_request` for a batch that can't be stored, `limit_exceeded` if too much waits already.
   */
  admit(batch: AppendBatch): number {
    this.#workers.begin();
    this.#jobs.begin();
    let bytes = eventOverheadBytes;
    let lastWorker = "";
    let lastJob = "";
    const { events } = batch;
    for (let i = 0; i < events.length; i++) {
      const event = events[i] as PendingEvent;
      const size = event.body.length;
      if (size + maxTimeBytes > limits.maxEventBytes) {
        throw invalidRequest(`events[${i}]`, `has ${size} bytes; an event takes ${limits.maxEventBytes} at most`);
      }
      bytes += size + eventOverheadBytes;
      if (event.workerId !== lastWorker) {
        lastWorker = event.workerId;
        this.#workers.meet(lastWorker, i);
      }
      if (event.jobId !== lastJob) {
        lastJob = event.jobId;
        this.#jobs.meet(lastJob, i);
      }
    }
    if (batch.state !== undefined) {
      for (const [key, put] of batch.state) bytes += key.length * 2 + sizeOf(put) + eventOverheadBytes;
    }
    const reserve = isUrgent(batch) ? limits.urgentAppendBytes : 0;
    if (this.#bytes + bytes > limits.maxPendingAppendBytes + reserve) {
      throw new TailraceError(
        "limit_exceeded",
        { limit: "maxPendingAppendBytes", maximum: limits.maxPendingAppendBytes, retryAfterMs: 100 },
        "Too many appends wait for their commit. Publish again a little later, or in smaller batches.",
      );
    }
    this.#workers.admit(
      "maxWorkers",
      `There are ${limits.maxWorkers} workers already. Publish as one of them; workers that ended are forgotten in time.`,
    );
    this.#jobs.admit(
      "maxLogJobs",
      `There are ${limits.maxLogJobs} jobs already. Publish again when some of those that ended were forgotten.`,
    );
    return bytes;
  }

  push(pending: T): void {
    this.#waiting.push(pending);
    this.#waitingBytes += pending.bytes;
    this.#bytes += pending.bytes;
  }

  /** Makes a group of one that goes before those that wait. */
  takeAtOnce(pending: T): T[] {
    this.#bytes += pending.bytes;
    return [pending];
  }

  /** The next group: whole batches in order, at least one, of `maxBytes` in all unless the first alone is larger. */
  take(maxBytes: number): T[] {
    let count = 0;
    let bytes = 0;
    for (const pending of this.#waiting) {
      if (count > 0 && bytes + pending.bytes > maxBytes) break;
      bytes += pending.bytes;
      count++;
    }
    this.#waitingBytes -= bytes;
    if (count === this.#waiting.length) {
      const all = this.#waiting;
      this.#waiting = [];
      return all;
    }
    return this.#waiting.splice(0, count);
  }

  /** A group that was taken is over, committed or not. */
  settled(group: readonly PendingAppend[]): void {
    for (const pending of group) this.#bytes -= pending.bytes;
    // Those of batches that still wait are few, and the limits on workers and jobs may be met a little early but never late.
    if (this.#waiting.length > 0) return;
    this.#workers.clear();
    this.#jobs.clear();
  }
}

/** Ids of workers, or of jobs, that waiting batches would create. */
class Newcomers {
  readonly #table: ScopeTable;
  readonly #field: string;
  readonly #waiting = new Set<string>();
  /** Those of the batch that is looked at. */
  readonly #met = new Set<string>();

  constructor(table: ScopeTable, field: string) {
    this.#table = table;
    this.#field = field;
  }

  begin(): void {
    if (this.#met.size > 0) this.#met.clear();
  }

  /** Notes the id of event `i`. @throws TailraceError `invalid_request` if it is too long. */
  meet(id: string, i: number): void {
    if (id === "" || this.#table.entryOf(id) !== undefined || this.#waiting.has(id)) return;
    if (Buffer.byteLength(id) > limits.maxIdBytes) {
      throw invalidRequest(`events[${i}].${this.#field}`, `must have ${limits.maxIdBytes} bytes at most`);
    }
    this.#met.add(id);
  }

  /** The batch goes in. @throws TailraceError `limit_exceeded`. */
  admit(limit: "maxWorkers" | "maxLogJobs", message: string): void {
    if (this.#met.size === 0) return;
    const maximum = limits[limit];
    if (this.#table.size + this.#waiting.size + this.#met.size > maximum) {
      throw new TailraceError("limit_exceeded", { limit, maximum }, message);
    }
    for (const id of this.#met) this.#waiting.add(id);
  }

  clear(): void {
    this.#waiting.clear();
  }
}
