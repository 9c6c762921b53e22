import type { Clock, StopTimer } from "../base/clock.ts";
import type { ReportError } from "../base/incident.ts";
import type { EventLog } from "../log/contract.ts";
import type { WorkerProjection } from "./worker-projection.ts";
import { forgettableWorkers } from "./workers.ts";

/** Milliseconds between two looks for workers to forget. */
const forgetEveryMs = 60 * 60 * 1000;

/** Forgets workers that have ended and have nothing retained, once limits.workerMemoryMs have passed. */
export class WorkerMemory {
  readonly #log: EventLog;
  readonly #projection: WorkerProjection;
  readonly #clock: Clock;
  readonly #report: ReportError;
  readonly #forgotten: (workerId: string) => void;
  #stopTimer: StopTimer;
  #stopped = false;

  /** `forgotten` hears of each worker that was. */
  constructor(
    log: EventLog,
    projection: WorkerProjection,
    clock: Clock,
    report: ReportError,
    forgotten: (workerId: string) => void,
  ) {
    this.#log = log;
    this.#projection = projection;
    this.#clock = clock;
    this.#report = report;
    this.#forgotten = forgotten;
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
    const { workerIds, state } = forgettableWorkers(this.#log, this.#projection, this.#clock.now());
    try {
      if (workerIds.length > 0) {
        await this.#log.append({ events: [], state, forgetWorkers: workerIds });
        for (const workerId of workerIds) {
          this.#projection.forget(workerId);
          this.#forgotten(workerId);
        }
      }
    } catch (error) {
      this.#report(error);
    }
    if (!this.#stopped) this.#stopTimer = this.#lookLater();
  }
}
