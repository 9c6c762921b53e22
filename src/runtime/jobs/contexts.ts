import type { NewEvent } from "../../../gen/tailrace/v1/event_pb.ts";
import type { Job } from "../../../gen/tailrace/v1/job_service_pb.ts";
import type { ReportError } from "../../base/incident.ts";
import type { PublishReceipt } from "../publishing.ts";
import type { JobAccess } from "./access.ts";
import { type JobLink, LinkedJob } from "./context.ts";
import type { JobRun } from "./run.ts";
import { ThreadHost } from "./thread-host.ts";

/** What contexts need of their runtime. */
export interface ContextParts {
  readonly runtime: object;
  readonly access: JobAccess;
  readonly report: ReportError;
  publish(event: NewEvent): Promise<PublishReceipt>;
  /** Where the runtime is served; undefined: nowhere that it knows of. */
  advertised(): string | undefined;
}

/** A job's context together with what it has opened for child processes and threads. */
export class OwnJob {
  readonly context: LinkedJob;
  readonly #job: Job;
  readonly #parts: ContextParts;
  #token: string | undefined;
  #threads: ThreadHost | undefined;
  #refusalReported = false;

  constructor(job: Job, run: JobRun, parts: ContextParts) {
    this.#job = job;
    this.#parts = parts;
    const { jobId: id, operation, workerId, correlationId } = job;
    const link: JobLink = {
      id,
      operation,
      workerId,
      correlationId,
      signal: run.signal,
      runtime: parts.runtime,
      open: () => run.active.machine.phase === "running",
      publish: (event) => parts.publish(event),
      environment: () => this.#environment(link),
      refused: (error) => this.#refused(error),
    };
    this.context = new LinkedJob(link);
  }

  /** The job has ended: its token is good for nothing any more. */
  close(): void {
    if (this.#token !== undefined) this.#parts.access.revoke(this.#token);
    this.#threads?.close();
  }

  #environment(link: JobLink): Record<string, string> {
    const token = this.#token ?? this.#parts.access.grant(this.context);
    if (this.#token === undefined) {
      this.#token = token;
      // One that has ended before it asked has nobody who would close this.
      if (link.open()) this.#threads = new ThreadHost(token, link, this.#parts.report);
      else this.close();
    }
    const server = this.#parts.advertised();
    return {
      ...(server === undefined ? {} : { TAILRACE_SERVER: server }),
      TAILRACE_JOB_ID: link.id,
      TAILRACE_OPERATION: link.operation,
      TAILRACE_WORKER_ID: link.workerId,
      TAILRACE_CORRELATION_ID: link.correlationId,
      TAILRACE_JOB_TOKEN: token,
    };
  }

  /** Once per job: a handler that narrates in a loop into a log that refuses it must not flood the operator. */
  #refused(error: unknown): void {
    if (this.#refusalReported) return;
    this.#refusalReported = true;
    const { jobId, operation } = this.#job;
    this.#parts.report(new Error(`An event of job ${jobId} (${operation}) was refused.`, { cause: error }));
  }
}
