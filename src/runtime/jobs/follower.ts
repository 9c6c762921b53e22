import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { Clock } from "../../base/clock.ts";
import type { EventLog } from "../../log/contract.ts";
import { ageTime } from "../decided.ts";
import { boundsOf } from "../requests-jobs.ts";
import { ActiveJob } from "./active.ts";
import * as ends from "./ends.ts";
import { isTerminal, type JobEnd, type TerminalState } from "./machine.ts";
import type { Presence } from "./presence.ts";
import {
  askPrefix,
  keyPrefix,
  readHeader,
  readJob,
  readKeyUse,
  readOperation,
  recordKey,
  recordPrefix,
} from "./record.ts";
import type { Scheduler } from "./scheduler.ts";
import { type JobEntry, type JobTable, newEntry } from "./table.ts";

/** What following needs of the runtime's jobs. */
export interface FollowerParts {
  readonly log: EventLog;
  readonly clock: Clock;
  readonly table: JobTable;
  readonly scheduler: Scheduler;
  readonly presence: Presence;
  /** Never throws. */
  report(error: unknown): void;
}

/**
 * Keeps what this server knows and does of jobs in step with what is committed of them, by whichever server: the table, the
 * queues, and the handlers of jobs that another server has ended.
 */
export class JobFollower {
  readonly #parts: FollowerParts;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
  }

  /** Reads what is committed, and gives the jobs that have not ended, oldest first. Follows what comes. */
  start(): readonly JobEntry[] {
    const { log, table } = this.#parts;
    for (const [key, record] of log.stateEntries(recordPrefix)) this.#enter(key.slice(recordPrefix.length), record);
    for (const [key, value] of log.stateEntries(keyPrefix)) this.#key(key.slice(keyPrefix.length), value);
    table.sort();
    log.subscribeState(recordPrefix, (key, value) => this.#record(key.slice(recordPrefix.length), value));
    // After the records: a key finds its job.
    log.subscribeState(keyPrefix, (key, value) => this.#key(key.slice(keyPrefix.length), value));
    log.subscribeState(askPrefix, (key, value) => this.#ask(key.slice(askPrefix.length), value));
    const all = [...table.newestFirst(Number.POSITIVE_INFINITY)].reverse();
    return all.filter(({ state }) => !isTerminal(state));
  }

  /** Lets a job that was submitted to another server, or to the runtime before this one, wait in its queue here. */
  inherit(entry: JobEntry): ActiveJob {
    const { log, clock, scheduler } = this.#parts;
    const record = log.state(recordKey(entry.id)) as Uint8Array;
    const { submitTimeMs } = readHeader(record);
    const job = readJob(record);
    const active = new ActiveJob(entry, scheduler.lane(entry.operation), job.deferred);
    active.inherited = true;
    entry.active = active;
    if (entry.state === JobState.QUEUED) {
      active.lane.waiting++;
      scheduler.wait(active, boundsOf(job.timeouts), Math.max(0, ageTime(log, clock) - submitTimeMs));
    }
    return active;
  }

  #record(id: string, record: Uint8Array | undefined): void {
    const { table, scheduler, presence } = this.#parts;
    if (record === undefined) {
      const forgotten = table.get(id);
      if (forgotten !== undefined) table.remove(forgotten);
      return;
    }
    const active = table.get(id)?.active;
    const entry = this.#enter(id, record);
    const { state } = entry;
    if (active === undefined) {
      if (state === JobState.QUEUED && presence.owns(entry.owner ?? "")) this.inherit(entry);
    } else if (isTerminal(state)) {
      if (active.machine.phase !== "ended") scheduler.overrule(active, endOf(state, record));
    } else if (!presence.owns(entry.owner ?? "")) {
      entry.active = undefined;
      scheduler.overrule(active, undefined);
    } else if (state === JobState.QUEUED && active.deferred && active.machine.phase === "queued") {
      if (!readJob(record).deferred) scheduler.enqueue(active);
    }
  }

  #enter(id: string, record: Uint8Array): JobEntry {
    const { table, scheduler } = this.#parts;
    let entry = table.get(id);
    if (entry === undefined) {
      // One text for all jobs of an operation.
      entry = newEntry(id, scheduler.lane(readOperation(record)).name, "");
      table.add(entry);
    }
    table.commit(entry, readHeader(record), record.length);
    return entry;
  }

  #key(key: string, value: Uint8Array | undefined): void {
    const { table } = this.#parts;
    if (value === undefined) table.forgetKey(key);
    else table.useKey(key, readKeyUse(value));
  }

  #ask(id: string, message: Uint8Array | undefined): void {
    const active = this.#parts.table.get(id)?.active;
    if (active === undefined || message === undefined) return;
    active.cancelRequested = true;
    const end = ends.cancelled(new TextDecoder().decode(message));
    this.#parts.scheduler.abort(active, end).catch(this.#parts.report);
  }
}

function endOf(state: TerminalState, record: Uint8Array): JobEnd {
  const { reason, message, exitCode } = readJob(record);
  return { state, reason, message, ...(exitCode === undefined ? {} : { exitCode }) };
}
