import type { JsonObject } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { type Job, JobService, JobStart, type SubmitJobResponse } from "../../gen/tailrace/v1/job_service_pb.ts";
import { JobState, type JobStateChanged } from "../../gen/tailrace/v1/payloads_pb.ts";
import { invalidRequest, type JobOutcome } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Connection } from "./connection.ts";
import { type Verdict, verdictOfCommand } from "./failures.ts";
import { positive } from "./request.ts";

/** Bounds of a job in milliseconds; only stricter than its operation's own. Absent: those of the operation. */
export interface JobTimeouts {
  /** From start to end. */
  readonly totalMs?: number;
  /** Without an event of the job while it runs. */
  readonly idleMs?: number;
  /** From submit to start. */
  readonly queueMs?: number;
}

export interface SubmitOptions {
  /** Whether the job waits for `start`. Default: false. */
  readonly deferred?: boolean;
  /** Makes a repeat harmless: the same key with the same request gives the same job. Default: none. */
  readonly idempotencyKey?: string;
  /** Worker that the job's events belong to; created if it does not exist. Default: none. */
  readonly workerId?: string;
  /** Ties the job's events to others of one cause. Default: none. */
  readonly correlationId?: string;
  readonly timeouts?: JobTimeouts;
}

/** A job that was accepted. */
export interface SubmittedJob {
  readonly jobId: string;
  /** Position before the job's first event: a watch of the job from it sees everything. */
  readonly cursor: string;
  /** Path of the job's simple stream on the server. */
  readonly streamUrl: string;
  readonly job: Job;
  /** Whether an earlier call with the same idempotency key made it. */
  readonly duplicate: boolean;
}

/** How a job ended. */
export interface JobEnd {
  readonly state: JobOutcome;
  /** Machine-readable: "exit_code", "cancel_requested", "idle_timeout", "runtime_restarted", "runtime_lost", ... Empty: none. */
  readonly reason: string;
  /** For people. Empty: none. */
  readonly message: string;
  /** Exit code of the job's command; undefined: it had none. */
  readonly exitCode: number | undefined;
}

/** Name of a state, as in `JobState`. */
export type JobStateName = "queued" | "running" | JobOutcome;

/** A job, and the position that its description includes: a watch of it from there neither repeats nor misses anything. */
export interface JobAnswer {
  readonly job: Job;
  readonly cursor: string;
  readonly revision: string;
}

interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Commands jobs. Everything throws TailraceError; nothing is retried (`submitAndWatch` does that). */
export interface Jobs {
  /** Makes a job. @throws TailraceError `invalid_request` naming the parameter, `limit_exceeded` for a full queue. */
  submit(operation: string, params?: JsonObject, options?: SubmitOptions & CallOptions): Promise<SubmittedJob>;
  /** Starts a deferred job; changes nothing of one that started already. @throws TailraceError `job_not_found`. */
  start(jobId: string, options?: CallOptions): Promise<Job>;
  /** Asks a job to end; its stream says when it has. Changes nothing of one that has. @throws TailraceError `job_not_found`. */
  cancel(jobId: string, options?: CallOptions & { readonly message?: string }): Promise<Job>;
  /** @throws TailraceError `job_not_found`. */
  get(jobId: string, options?: CallOptions): Promise<JobAnswer>;
  /** The jobs that are remembered, newest first, read page by page. Default: of all states and operations. */
  list(
    options?: CallOptions & { readonly states?: readonly (JobStateName | JobState)[]; readonly operation?: string },
  ): AsyncGenerator<Job, undefined>;
  /** Closes what is kept open between calls. */
  close(): void;
}

const stateNames: Readonly<Record<JobStateName, JobState>> = {
  queued: JobState.QUEUED,
  running: JobState.RUNNING,
  succeeded: JobState.SUCCEEDED,
  failed: JobState.FAILED,
  cancelled: JobState.CANCELLED,
  timed_out: JobState.TIMED_OUT,
};

const outcomes: Readonly<Record<number, JobOutcome>> = {
  [JobState.SUCCEEDED]: "succeeded",
  [JobState.FAILED]: "failed",
  [JobState.CANCELLED]: "cancelled",
  [JobState.TIMED_OUT]: "timed_out",
};

/** How a job ended; undefined: it has not. */
export function jobEndOf(
  state: Pick<JobStateChanged, "state" | "reason" | "message" | "exitCode">,
): JobEnd | undefined {
  const outcome = outcomes[state.state];
  if (outcome === undefined) return undefined;
  return { state: outcome, reason: state.reason, message: state.message, exitCode: state.exitCode };
}

/** Calls JobService as it is: errors are what the transport throws. */
export function jobCalls(connection: Connection) {
  const client = createClient(JobService, connection.transport);
  return {
    client,
    submit: (operation: string, params: JsonObject, options: SubmitOptions & CallOptions): Promise<SubmitJobResponse> =>
      client.submitJob(
        {
          operation,
          params,
          start: options.deferred ? JobStart.DEFERRED : JobStart.IMMEDIATE,
          idempotencyKey: options.idempotencyKey ?? "",
          workerId: options.workerId ?? "",
          correlationId: options.correlationId ?? "",
          ...(options.timeouts === undefined ? {} : { timeouts: timeoutsOf(options.timeouts) }),
        },
        callOptions(options),
      ),
    cancel: async (jobId: string, options: CallOptions & { readonly message?: string }): Promise<Job> => {
      const { job } = await client.cancelJob({ jobId, message: options.message ?? "" }, callOptions(options));
      return job as Job;
    },
  };
}

export function submittedJob(response: SubmitJobResponse): SubmittedJob {
  const { jobId, cursor, streamUrl, job, duplicate } = response;
  return { jobId, cursor, streamUrl, job: job as Job, duplicate };
}

export function createJobsOver(connection: Connection): Jobs {
  const { client, submit, cancel } = jobCalls(connection);
  return {
    async submit(operation, params = {}, options = {}) {
      return submittedJob(await submit(operation, params, options).catch(rethrow));
    },
    async start(jobId, options = {}) {
      const { job } = await client.startJob({ jobId }, callOptions(options)).catch(rethrow);
      return job as Job;
    },
    cancel: (jobId, options = {}) => cancel(jobId, options).catch(rethrow),
    async get(jobId, options = {}) {
      const { job, cursor, revision } = await client.getJob({ jobId }, callOptions(options)).catch(rethrow);
      return { job: job as Job, cursor, revision };
    },
    async *list(options = {}) {
      const { operation = "", states = [] } = options;
      const wanted = states.map(stateOf);
      let pageToken = "";
      do {
        const request = { states: wanted, operation, pageSize: limits.maxWorkerPage, pageToken };
        const page = await client.listJobs(request, callOptions(options)).catch(rethrow);
        yield* page.jobs;
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return undefined;
    },
    close: () => connection.close?.(),
  };
}

function timeoutsOf({ totalMs, idleMs, queueMs }: JobTimeouts) {
  const duration = (name: string, ms: number | undefined) =>
    ms === undefined ? {} : { [name]: durationFromMs(Math.round(positive(`timeouts.${name}Ms`, ms))) };
  return { ...duration("total", totalMs), ...duration("idle", idleMs), ...duration("queue", queueMs) };
}

function stateOf(state: JobStateName | JobState, index: number): JobState {
  if (typeof state === "number") return state;
  if (!Object.hasOwn(stateNames, state)) throw invalidRequest(`states[${index}]`, `"${state}" is no state of a job`);
  return stateNames[state];
}

function callOptions({ signal }: CallOptions) {
  return { timeoutMs: limits.requestTimeoutMs, ...(signal === undefined ? {} : { signal }) };
}

/** What to do about a call of JobService that threw. */
export function verdictOfJobCall(thrown: unknown): Verdict {
  return verdictOfCommand(thrown, "jobs");
}

function rethrow(thrown: unknown): never {
  throw verdictOfJobCall(thrown).error;
}
