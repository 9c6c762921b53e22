import { TailraceError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { ActiveJob } from "./active.ts";
import type { JobHandler, JobTimeoutOptions } from "./operation.ts";
import type { StandardSchemaV1 } from "./standard-schema.ts";

/** An operation as it was declared, with its defaults. */
export interface Operation {
  readonly params: StandardSchemaV1<unknown, never> | undefined;
  readonly concurrency: number;
  readonly queueDepth: number;
  readonly timeouts: JobTimeoutOptions;
  readonly cancelGraceMs: number;
  readonly handler: JobHandler<never>;
}

/** The jobs of one operation that wait and run: who is next, and whether one more fits. */
export class Lane {
  readonly name: string;
  /** Undefined: not declared (yet): jobs from before a restart wait for it. */
  operation: Operation | undefined;
  /** Jobs that run. */
  running = 0;
  /** Jobs that wait, those included that are deferred or are being committed. */
  waiting = 0;
  readonly #queue: ActiveJob[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /**
   * Takes a place for a job. A deferred one may take none of the places of jobs that run, because it holds its place for as
   * long as nobody starts it.
   * @throws TailraceError `limit_exceeded` if there is none.
   */
  reserve(operation: Operation, deferred: boolean): void {
    const { concurrency, queueDepth } = operation;
    const room = deferred ? queueDepth : queueDepth + concurrency - this.running;
    if (this.waiting >= room) {
      throw new TailraceError(
        "limit_exceeded",
        { limit: "queueDepth", maximum: queueDepth, retryAfterMs: limits.jobRetryAfterMs },
        `Operation "${this.name}" has ${this.waiting} jobs that wait, and takes no more. Submit again later.`,
      );
    }
    this.waiting++;
  }

  /** A job that waited does so no more. */
  release(active: ActiveJob): void {
    this.waiting--;
    const at = this.#queue.indexOf(active);
    if (at >= 0) this.#queue.splice(at, 1);
  }

  /** Puts a job at the end of the queue. */
  enqueue(active: ActiveJob): void {
    this.#queue.push(active);
  }

  /** Takes the job that is to run next; undefined: none, or no room. */
  next(): ActiveJob | undefined {
    if (this.operation === undefined || this.running >= this.operation.concurrency) return undefined;
    const active = this.#queue.shift();
    if (active === undefined) return undefined;
    this.waiting--;
    this.running++;
    return active;
  }

  /** Place in the queue, from 1; undefined: not in it. */
  positionOf(active: ActiveJob): number | undefined {
    const at = this.#queue.indexOf(active);
    return at < 0 ? undefined : at + 1;
  }
}
