import type { Clock, StopTimer } from "../../base/clock.ts";
import { TailraceError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { EventLog } from "../../log/contract.ts";
import { ageTime } from "../decided.ts";
import { afterLong } from "./deadline.ts";
import type { JobLedger } from "./ledger.ts";
import type { JobEntry, JobTable } from "./table.ts";

/** What bounds the memory of jobs. */
export interface JobMemoryOptions {
  /** Jobs that are remembered; the oldest ended go first. Default: limits.maxJobs. */
  readonly maxJobs?: number;
  /** Bytes of their records. Default: limits.maxJobRecordBytes. */
  readonly maxRecordBytes?: number;
  /** Milliseconds for which a job is remembered after its end. Default: limits.jobMemoryMs. */
  readonly memoryMs?: number;
}

/** What the memory needs of the runtime's jobs. */
export interface JobMemoryParts {
  readonly log: EventLog;
  readonly table: JobTable;
  readonly ledger: JobLedger;
  readonly clock: Clock;
  /** Never throws. */
  report(error: unknown): void;
}

/** Jobs that fall due together are forgotten together: at most this often, in milliseconds. */
const minForgetEveryMs = 1_000;
/** Jobs that are forgotten in one append. */
const forgottenAtOnce = 1_000;

/** Forgets jobs that ended long ago, and makes room for new ones. */
export class JobMemory {
  readonly #log: EventLog;
  readonly #table: JobTable;
  readonly #ledger: JobLedger;
  readonly #clock: Clock;
  readonly #report: (error: unknown) => void;
  readonly #maxJobs: number;
  readonly #maxRecordBytes: number;
  readonly #memoryMs: number;
  #stopTimer: StopTimer | undefined;
  #stopped = false;

  constructor({ log, table, ledger, clock, report }: JobMemoryParts, options: JobMemoryOptions) {
    this.#log = log;
    this.#table = table;
    this.#ledger = ledger;
    this.#clock = clock;
    this.#report = report;
    this.#maxJobs = options.maxJobs ?? limits.maxJobs;
    this.#maxRecordBytes = options.maxRecordBytes ?? limits.maxJobRecordBytes;
    this.#memoryMs = options.memoryMs ?? limits.jobMemoryMs;
  }

  /** Forgets the oldest ended jobs until one more fits. @throws TailraceError `limit_exceeded` if none of them has ended. */
  makeRoom(): void {
    const forgotten: JobEntry[] = [];
    while (this.#table.size >= this.#maxJobs || this.#table.recordBytes >= this.#maxRecordBytes) {
      const entry = this.#table.takeOldestEnded();
      if (entry === undefined) {
        const tooMany = this.#table.size >= this.#maxJobs;
        const [limit, maximum] = tooMany
          ? (["maxJobs", this.#maxJobs] as const)
          : (["maxJobRecordBytes", this.#maxRecordBytes] as const);
        throw new TailraceError(
          "limit_exceeded",
          { limit, maximum, retryAfterMs: limits.jobRetryAfterMs },
          "Too many jobs wait or run, so that none can be forgotten. Submit again later.",
        );
      }
      forgotten.push(entry);
    }
    if (forgotten.length > 0) this.#forget(forgotten);
  }

  /** A job has ended: looks when the next one is to be forgotten. */
  watch(): void {
    const oldest = this.#table.oldestEnded;
    if (this.#stopped || this.#stopTimer !== undefined || oldest === undefined) return;
    const dueInMs = oldest.endTimeMs + this.#memoryMs - ageTime(this.#log, this.#clock);
    const waitMs = Math.max(dueInMs, Math.min(minForgetEveryMs, this.#memoryMs), 1);
    this.#stopTimer = afterLong(this.#clock, waitMs, () => {
      this.#stopTimer = undefined;
      if (this.#log.isKeeper) this.#forgetDue();
      this.watch();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#stopTimer?.();
  }

  #forgetDue(): void {
    const endedBefore = ageTime(this.#log, this.#clock) - this.#memoryMs;
    let due: JobEntry[] = [];
    for (;;) {
      const oldest = this.#table.oldestEnded;
      if (oldest === undefined || oldest.endTimeMs > endedBefore) break;
      due.push(this.#table.takeOldestEnded() as JobEntry);
      if (due.length < forgottenAtOnce) continue;
      this.#forget(due);
      due = [];
    }
    if (due.length > 0) this.#forget(due);
  }

  #forget(entries: readonly JobEntry[]): void {
    // By the time of the append, the key may be that of a later job.
    const keyOf = ({ key }: JobEntry) => (this.#table.keyUse(key) === undefined ? key : "");
    this.#ledger.forgotten(entries, keyOf).catch(this.#report);
  }
}
