import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { Clock } from "../../base/clock.ts";
import { limits } from "../../base/limits.ts";
import type { EventLog } from "../../log/contract.ts";
import { ageTime } from "../decided.ts";
import { boundsOf } from "../requests-jobs.ts";
import * as ends from "./ends.ts";
import type { JobLedger, MayChange } from "./ledger.ts";
import type { Presence } from "./presence.ts";
import type { Scheduler } from "./scheduler.ts";
import type { JobEntry, JobTable } from "./table.ts";

/** What taking over needs of the runtime's jobs. */
export interface TakeOverParts {
  readonly log: EventLog;
  readonly clock: Clock;
  readonly table: JobTable;
  readonly ledger: JobLedger;
  readonly scheduler: Scheduler;
  readonly presence: Presence;
  /** Never throws. */
  report(error: unknown): void;
}

/**
 * Takes over the jobs of servers that are gone: one that ran is ended, because it may have done anything, and one that waited
 * goes into the queue here, if its operation is declared here. Every server tries; which one it is, the log decides.
 */
export class TakeOver {
  readonly #parts: TakeOverParts;
  #looking = false;
  #again = false;
  #stopped = false;

  constructor(parts: TakeOverParts) {
    this.#parts = parts;
  }

  /** Looks for such jobs. Called whenever there may be some, as often as one likes. */
  look(): void {
    if (this.#looking) this.#again = true;
    else if (!this.#stopped && this.#owners().length > 0) void this.#look();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #look(): Promise<void> {
    this.#looking = true;
    do {
      this.#again = false;
      const due = this.#due();
      for (let from = 0; from < due.length && !this.#stopped; from += limits.jobTakeOvers) {
        const some = due.slice(from, from + limits.jobTakeOvers);
        await Promise.all(some.map((entry) => this.#take(entry).catch(this.#parts.report)));
      }
    } while (this.#again && !this.#stopped);
    this.#looking = false;
  }

  #owners(): readonly string[] {
    const { table, presence } = this.#parts;
    return table.owners.filter((owner) => presence.isGone(owner));
  }

  #due(): readonly JobEntry[] {
    return this.#owners().flatMap((owner) => this.#parts.table.ofOwner(owner).filter((entry) => this.#isDue(entry)));
  }

  #isDue(entry: JobEntry): boolean {
    if (entry.state === JobState.RUNNING) return true;
    return (
      this.#parts.scheduler.findLane(entry.operation)?.operation !== undefined || this.#waitedMs(entry) !== undefined
    );
  }

  async #take(entry: JobEntry): Promise<unknown> {
    const { owner } = entry;
    if (owner === undefined) return;
    const { ledger, presence } = this.#parts;
    const mayChange: MayChange = (header) =>
      !this.#stopped && header.state === entry.state && header.owner === owner && presence.isGone(owner);
    const fence = presence.fenceOf(owner);
    if (entry.state === JobState.RUNNING) return ledger.ended(entry, ends.runtimeLost, mayChange, fence);
    const waitedMs = this.#waitedMs(entry);
    if (waitedMs !== undefined) return ledger.ended(entry, ends.queueTimeout(waitedMs), mayChange, fence);
    return ledger.adopted(entry.id, mayChange, fence);
  }

  /** How long a job that waits for nobody's start may have waited, if that is over: nobody else times it. */
  #waitedMs(entry: JobEntry): number | undefined {
    const { log, ledger, clock } = this.#parts;
    if (!log.isKeeper || entry.state !== JobState.QUEUED) return undefined;
    const { header, job } = ledger.record(entry.id);
    const { queueMs } = boundsOf(job.timeouts);
    if (queueMs === undefined) return undefined;
    return ageTime(log, clock) - header.submitTimeMs >= queueMs ? queueMs : undefined;
  }
}
