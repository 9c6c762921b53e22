import type { Clock, StopTimer } from "../base/clock.ts";
import type { ReportError } from "../base/incident.ts";
import type { EventLog } from "../log/contract.ts";
import { ageTime, appendDecided } from "./decided.ts";
import type { WorkerProjection } from "./worker-projection.ts";
import { forgettableWorkers } from "./workers.ts";

/** Milliseconds between two looks for workers to forget. */
const forgetEveryMs = 60 * 60 * 1000;

/**
 * Forgets workers that have ended and have nothing retained, once limits.workerMemoryMs have passed. Of the servers that share
 * a log, the keeper does. The projections hear of it from the log.
 */
export class WorkerMemory {
  readonly #log: EventLog;
  readonly #projection: WorkerProjection;
  readonly #clock: Clock;
  readonly #report: ReportError;
  #stopTimer: StopTimer;
  #stopped = false;

  constructor(log: EventLog, projection: WorkerProjection, clock: Clock, report: ReportError) {
    this.#log = log;
    this.#projection = projection;
    this.#clock = clock;
    this.#report = report;
    this.#stopTimer = this.#lookLater();
  }

  stop(): void {
    this.#stopped = true;
    this.#stopTimer();
  }

  #lookLater(): StopTimer {
    return this.#clock.after(forgetEveryMs, () => this.#forget());
  }

  async #forget(): Promise<void> {
    try {
      await appendDecided(this.#log, () => {
        if (!this.#log.isKeeper) return undefined;
        const now = ageTime(this.#log, this.#clock);
        const { workerIds, state } = forgettableWorkers(this.#log, this.#projection, now);
        return workerIds.length === 0 ? undefined : { events: [], state, forgetWorkers: workerIds };
      });
    } catch (error) {
      this.#report(error);
    }
    if (!this.#stopped) this.#stopTimer = this.#lookLater();
  }
}
