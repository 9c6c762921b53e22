import type { Clock } from "../../base/clock.ts";
import type { EventBlock } from "../../log/block.ts";
import type { ActiveJob } from "./active.ts";
import { afterLong } from "./deadline.ts";
import * as ends from "./ends.ts";
import { Lane, type Operation } from "./lane.ts";
import type { JobLedger } from "./ledger.ts";
import { type JobEnd, step } from "./machine.ts";
import type { JobTimeoutOptions } from "./operation.ts";
import { JobRun, type RunParts } from "./run.ts";

/** Milliseconds between two calls of a timer that does nothing but hold the process alive. */
const holdMs = 60_000;

/** Starts jobs when there is room, and ends those that wait. */
export class Scheduler {
  readonly #ledger: JobLedger;
  readonly #clock: Clock;
  readonly #parts: RunParts;
  readonly #lanes = new Map<string, Lane>();
  /** Everything that is on its way, with what it waits for. */
  readonly #runs = new Map<JobRun, Promise<void>>();
  /** Runs that are bounded in silence, by the id of their job. */
  readonly #silent = new Map<string, JobRun>();
  /** Jobs that wait, deferred ones included. */
  readonly #waiting = new Set<ActiveJob>();
  #stopped = false;

  constructor(parts: RunParts) {
    this.#ledger = parts.ledger;
    this.#clock = parts.clock;
    this.#parts = parts;
  }

  /** The lane of an operation, which may have no declaration yet. */
  lane(name: string): Lane {
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = new Lane(name);
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  /** The lane of an operation that was named by someone else; undefined: there is none. */
  findLane(name: string): Lane | undefined {
    return this.#lanes.get(name);
  }

  declare(name: string, operation: Operation): void {
    const lane = this.lane(name);
    lane.operation = operation;
    this.#pump(lane);
  }

  /** A committed job, whose place is reserved, waits for its start. `waitedMs`: how long it has already. */
  wait(active: ActiveJob, { queueMs, idleMs }: JobTimeoutOptions, waitedMs = 0): void {
    // Whoever heard of the commit may have cancelled it already.
    if (active.machine.phase !== "queued") return;
    active.timesSilence = idleMs !== undefined;
    this.#waiting.add(active);
    if (queueMs !== undefined && !this.#stopped) {
      active.stopQueueTimer = afterLong(this.#clock, Math.max(0, queueMs - waitedMs), () => {
        this.abort(active, ends.queueTimeout(queueMs)).catch(this.#parts.report);
      });
    }
    if (!active.deferred) this.enqueue(active);
  }

  /** Lets a job that waits start when there is room. */
  enqueue(active: ActiveJob): void {
    active.deferred = false;
    active.lane.enqueue(active);
    this.#pump(active.lane);
  }

  /**
   * Ends a job that waits, at once, and asks one that runs to end. Settles when the end of one that waited is committed.
   * @throws TailraceError `log_unavailable`.
   */
  async abort(active: ActiveJob, end: JobEnd): Promise<void> {
    if (active.machine.phase === "running") active.run?.abort(end);
    if (active.machine.phase !== "queued") return;
    active.machine = step(active.machine, { kind: "abort", end });
    this.#leaveQueue(active);
    active.lane.release(active);
    await this.#ledger.ended(active.entry, end);
  }

  /** Another server has ended a job that waits or runs here, or has taken it over (`end` undefined). */
  overrule(active: ActiveJob, end: JobEnd | undefined): void {
    if (active.machine.phase === "running") active.run?.overrule(end);
    if (active.machine.phase !== "queued") return;
    active.machine = step(active.machine, { kind: "overrule", end });
    this.#leaveQueue(active);
    active.lane.release(active);
  }

  /** Tells those who time its silence that a job has had events. */
  heard(block: EventBlock): void {
    if (this.#silent.size === 0) return;
    let last = 0;
    for (let i = 0; i < block.length; i++) {
      const job = block.jobs[i] as number;
      if (job === last) continue;
      last = job;
      if (job !== 0) this.#silent.get(block.jobSubjects.idOf(job))?.touch();
    }
  }

  /** Jobs that run, those included whose end is being committed. */
  get running(): number {
    return this.#runs.size;
  }

  /** Starts nothing more. What waits is left for the next runtime on this log. */
  stop(): void {
    this.#stopped = true;
    for (const active of this.#waiting) active.stopQueueTimer?.();
  }

  /** Ends everything that runs. Settles once all ends are committed. */
  async close(): Promise<void> {
    this.stop();
    if (this.#runs.size === 0) return;
    // Timers of the clock hold no process alive, and a handler that ignores its abort may be all that is left in this one.
    const hold = setInterval(() => undefined, holdMs);
    try {
      for (const run of this.#runs.keys()) run.abort(ends.runtimeClosed);
      await Promise.all(this.#runs.values());
    } finally {
      clearInterval(hold);
    }
  }

  #pump(lane: Lane): void {
    if (this.#stopped) return;
    for (let active = lane.next(); active !== undefined; active = lane.next()) {
      this.#start(active, lane.operation as Operation);
    }
  }

  #start(active: ActiveJob, operation: Operation): void {
    this.#leaveQueue(active);
    active.machine = step(active.machine, { kind: "start" });
    const run = new JobRun(active, operation, this.#parts);
    active.run = run;
    this.#runs.set(run, this.#carryOut(run));
  }

  async #carryOut(run: JobRun): Promise<void> {
    const { lane, entry } = run.active;
    if (run.active.timesSilence) this.#silent.set(entry.id, run);
    try {
      await run.execute();
    } catch (error) {
      // The log has failed, or is closed: what it says of the job is what the next runtime goes by.
      this.#parts.report(error);
    }
    this.#silent.delete(entry.id);
    this.#runs.delete(run);
    lane.running--;
    this.#pump(lane);
  }

  #leaveQueue(active: ActiveJob): void {
    active.stopQueueTimer?.();
    this.#waiting.delete(active);
  }
}
