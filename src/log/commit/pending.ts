import { invalidRequest, TailraceError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { AppendBatch, AppendResult } from "../contract.ts";
import type { LogIndex } from "../index/log-index.ts";
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
export class PendingAppends {
  #waiting: PendingAppend[] = [];
  #bytes = 0;
  /** Workers that waiting batches would create. */
  #newWorkers = new Set<string>();
  readonly #index: LogIndex;

  constructor(index: LogIndex) {
    this.#index = index;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /**
   * Bytes that a batch holds while it waits, once it is found in order.
   * @throws TailraceError `invalid_request` for a batch that can't be stored, `limit_exceeded` if too much waits already.
   */
  admit(batch: AppendBatch): number {
    let bytes = eventOverheadBytes;
    let lastId: string | undefined;
    let created: Set<string> | undefined;
    for (const [i, event] of batch.events.entries()) {
      const size = event.body.length;
      if (size + maxTimeBytes > limits.maxEventBytes) {
        throw invalidRequest(`events[${i}]`, `has ${size} bytes; an event takes ${limits.maxEventBytes} at most`);
      }
      bytes += size + eventOverheadBytes;
      if (event.workerId !== lastId) {
        lastId = event.workerId;
        if (lastId === "" || this.#index.entryOf(lastId) !== undefined || this.#newWorkers.has(lastId)) continue;
        if (Buffer.byteLength(lastId) > limits.maxIdBytes) {
          throw invalidRequest(`events[${i}].worker_id`, `must have ${limits.maxIdBytes} bytes at most`);
        }
        created ??= new Set();
        created.add(lastId);
      }
    }
    for (const [key, put] of batch.state ?? []) {
      // What is made later is small by contract.
      const size = typeof put === "function" ? eventOverheadBytes : (put?.length ?? 0);
      bytes += key.length * 2 + size + eventOverheadBytes;
    }
    if (this.#bytes + bytes > limits.maxPendingAppendBytes) {
      throw new TailraceError(
        "limit_exceeded",
        { limit: "maxPendingAppendBytes", maximum: limits.maxPendingAppendBytes, retryAfterMs: 100 },
        "Too many appends wait for their commit. Publish again a little later, or in smaller batches.",
      );
    }
    if (created !== undefined) {
      if (this.#index.workerCount + this.#newWorkers.size + created.size > limits.maxWorkers) {
        throw new TailraceError(
          "limit_exceeded",
          { limit: "maxWorkers", maximum: limits.maxWorkers },
          `There are ${limits.maxWorkers} workers already. Publish as one of them; workers that ended are forgotten in time.`,
        );
      }
      for (const id of created) this.#newWorkers.add(id);
    }
    return bytes;
  }

  push(pending: PendingAppend): void {
    this.#waiting.push(pending);
    this.#bytes += pending.bytes;
  }

  /** The next group: whole batches in order, at least one, of `maxBytes` in all unless the first alone is larger. */
  take(maxBytes: number): PendingAppend[] {
    let count = 0;
    let bytes = 0;
    for (const pending of this.#waiting) {
      if (count > 0 && bytes + pending.bytes > maxBytes) break;
      bytes += pending.bytes;
      count++;
    }
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
    // Those of batches that still wait are few, and the limit on workers may be met a little early but never late.
    if (this.#waiting.length === 0) this.#newWorkers.clear();
  }
}
