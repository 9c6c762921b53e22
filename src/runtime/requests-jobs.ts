import { create, type JsonObject } from "@bufbuild/protobuf";
import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  JobStart,
  type JobTimeouts,
  JobTimeoutsSchema,
  type ListJobsRequest,
  type SubmitJobRequest,
  SubmitJobRequestSchema,
} from "../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../gen/tailrace/v1/payloads_pb.ts";
import { invalidRequest } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { JobTimeoutOptions, SubmitOptions } from "./jobs/operation.ts";
import { sequenceOfPageToken } from "./page-tokens.ts";
import { checkId, pageSize } from "./requests.ts";

/** The request that `Runtime.submit` stands for. */
export function submitRequest(operation: string, params: JsonObject, options: SubmitOptions): SubmitJobRequest {
  const { timeouts, idempotencyKey = "", workerId = "", correlationId = "" } = options;
  return create(SubmitJobRequestSchema, {
    operation,
    params,
    start: options.deferred === true ? JobStart.DEFERRED : JobStart.IMMEDIATE,
    idempotencyKey,
    workerId,
    correlationId,
    ...(timeouts === undefined ? {} : { timeouts: timeoutsOf(timeouts) }),
  });
}

/** Bounds as a message has them: the inverse of `boundsOf`. @throws as that. */
export function timeoutsOf({ totalMs, idleMs, queueMs }: JobTimeoutOptions): JobTimeouts {
  return create(JobTimeoutsSchema, {
    ...(totalMs === undefined ? {} : { total: durationOf("total", totalMs) }),
    ...(idleMs === undefined ? {} : { idle: durationOf("idle", idleMs) }),
    ...(queueMs === undefined ? {} : { queue: durationOf("queue", queueMs) }),
  });
}

function durationOf(field: string, ms: number): Duration {
  if (!Number.isFinite(ms)) throw invalidRequest(`timeouts.${field}`, "it is a time in milliseconds");
  return durationFromMs(Math.ceil(ms));
}

/** A request to submit, apart from its parameters, which are the operation's to judge. */
export interface SubmitSpec {
  readonly operation: string;
  readonly deferred: boolean;
  /** Empty: none. So for the others. */
  readonly idempotencyKey: string;
  readonly workerId: string;
  readonly correlationId: string;
  readonly timeouts: JobTimeoutOptions;
}

/** Validates a request to submit, all but its parameters. @throws TailraceError `invalid_request`. */
export function submitSpec(request: SubmitJobRequest): SubmitSpec {
  checkId(request.operation, "operation");
  const { operation, start, idempotencyKey, workerId, correlationId } = request;
  if (start !== JobStart.UNSPECIFIED && start !== JobStart.IMMEDIATE && start !== JobStart.DEFERRED) {
    throw invalidRequest("start", `${start} is neither JOB_START_IMMEDIATE nor JOB_START_DEFERRED`);
  }
  if (idempotencyKey !== "") checkId(idempotencyKey, "idempotency_key");
  if (workerId !== "") checkId(workerId, "worker_id");
  if (correlationId !== "") checkId(correlationId, "correlation_id");
  const timeouts = boundsOf(request.timeouts);
  return { operation, deferred: start === JobStart.DEFERRED, idempotencyKey, workerId, correlationId, timeouts };
}

/** The stricter of two sets of bounds. */
export function stricter(a: JobTimeoutOptions, b: JobTimeoutOptions): JobTimeoutOptions {
  return { ...lowest("totalMs", a, b), ...lowest("idleMs", a, b), ...lowest("queueMs", a, b) };
}

/** Bounds as a message has them. @throws TailraceError `invalid_request` for what is no time. */
export function boundsOf(timeouts: JobTimeouts | undefined): JobTimeoutOptions {
  return {
    ...boundOf("total", "totalMs", timeouts),
    ...boundOf("idle", "idleMs", timeouts),
    ...boundOf("queue", "queueMs", timeouts),
  };
}

const knownStates: ReadonlySet<number> = new Set(Object.values(JobState));

/** Which jobs to list. */
export interface ListJobsSpec {
  /** Undefined: all. */
  readonly states: ReadonlySet<JobState> | undefined;
  /** Empty: all. */
  readonly operation: string;
  readonly pageSize: number;
  /** Jobs submitted at this sequence or later are left out. */
  readonly before: number;
}

/** Validates a request for a page of jobs. @throws TailraceError `invalid_request`. */
export function listJobsSpec(request: ListJobsRequest): ListJobsSpec {
  if (request.operation !== "") checkId(request.operation, "operation");
  if (request.states.length > limits.maxWatchedKinds) {
    throw invalidRequest("states", `a request names at most ${limits.maxWatchedKinds} states`);
  }
  request.states.forEach((state, index) => {
    if (state === JobState.UNSPECIFIED || !knownStates.has(state)) {
      throw invalidRequest(`states[${index}]`, `${state} is no state that this release knows`);
    }
  });
  return {
    states: request.states.length === 0 ? undefined : new Set(request.states),
    operation: request.operation,
    pageSize: pageSize(request.pageSize, limits.defaultJobPage, limits.maxJobPage),
    before: request.pageToken === "" ? Number.POSITIVE_INFINITY : sequenceOfPageToken(request.pageToken),
  };
}

/** Checks the note of a cancel. @throws TailraceError `invalid_request`. */
export function checkCancelMessage(message: string): string {
  if (Buffer.byteLength(message) > limits.maxCancelMessageBytes) {
    throw invalidRequest("message", `it has at most ${limits.maxCancelMessageBytes} bytes`);
  }
  return message;
}

function boundOf<K extends keyof JobTimeoutOptions>(
  field: "total" | "idle" | "queue",
  key: K,
  timeouts: JobTimeouts | undefined,
): { [k in K]?: number } {
  const duration = timeouts?.[field];
  if (duration === undefined) return {};
  const ms = msOf(duration);
  if (!(ms > 0)) throw invalidRequest(`timeouts.${field}`, "it is longer than nothing; leave it out for no bound");
  if (ms > longestMs) throw invalidRequest(`timeouts.${field}`, "it is out of range; leave it out for no bound");
  return { [key]: ms } as { [k in K]?: number };
}

/** Longest duration of protobuf, 10,000 years, in milliseconds. */
const longestMs = 315_576_000_000_000;

/** Whole milliseconds: what is kept as a duration is read as the same bound, and never as none. */
function msOf({ seconds, nanos }: Duration): number {
  return Math.ceil(Number(seconds) * 1000 + nanos / 1_000_000);
}

function lowest<K extends keyof JobTimeoutOptions>(
  key: K,
  a: JobTimeoutOptions,
  b: JobTimeoutOptions,
): { [k in K]?: number } {
  const bound = Math.min(a[key] ?? Number.POSITIVE_INFINITY, b[key] ?? Number.POSITIVE_INFINITY);
  return (bound === Number.POSITIVE_INFINITY ? {} : { [key]: bound }) as { [k in K]?: number };
}
