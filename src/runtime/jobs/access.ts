import { randomBytes } from "node:crypto";
import type { NewEvent } from "../../../gen/tailrace/v1/event_pb.ts";
import { TailraceError } from "../../base/errors.ts";
import { decodeNewEvent } from "../prepared-batch.ts";
import type { LinkedJob } from "./context.ts";

/** Begins every token of a job: edges tell them by it from other bearer tokens. */
export const jobTokenPrefix = "tj_";

/** The tokens of running jobs: who has one may publish as that job, while it runs. */
export class JobAccess {
  readonly #jobs = new Map<string, LinkedJob>();
  readonly #hasEnded: (workerId: string) => boolean;

  /** `hasEnded`: whether a worker takes no more events. */
  constructor(hasEnded: (workerId: string) => boolean) {
    this.#hasEnded = hasEnded;
  }

  /** A new token for a job. */
  grant(job: LinkedJob): string {
    const token = `${jobTokenPrefix}${randomBytes(24).toString("base64url")}`;
    this.#jobs.set(token, job);
    return token;
  }

  revoke(token: string): void {
    this.#jobs.delete(token);
  }

  /** Tokens that are good. */
  get size(): number {
    return this.#jobs.size;
  }

  /**
   * The events, as those of the job that the token is for: ids that are empty are filled in.
   * @throws TailraceError `access_denied` for a token that is not good, and for ids of others; `invalid_request`.
   */
  asJob(token: string, events: readonly (NewEvent | Uint8Array)[]): NewEvent[] {
    const job = this.#jobs.get(token);
    if (job === undefined) {
      throw new TailraceError(
        "access_denied",
        { grant: "publish" },
        "The job token is not good: its job has ended, or it never was one.",
      );
    }
    // A job may outlive its worker, which takes nothing more.
    const workerGone = this.#hasEnded(job.workerId);
    return events.map((given, index) => {
      const event = given instanceof Uint8Array ? decodeNewEvent(given, index) : given;
      return {
        ...event,
        jobId: own(event.jobId, job.id, `events[${index}].job_id`),
        workerId:
          workerGone && event.workerId === "" ? "" : own(event.workerId, job.workerId, `events[${index}].worker_id`),
        correlationId: own(event.correlationId, job.correlationId, `events[${index}].correlation_id`),
      };
    });
  }
}

function own(given: string, id: string, field: string): string {
  if (given === "" || given === id) return id;
  throw new TailraceError(
    "access_denied",
    { grant: "publish" },
    `${field}: the job token is good for events with the ids of its job only; leave it empty.`,
  );
}
