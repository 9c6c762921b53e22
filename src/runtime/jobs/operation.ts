import type { JsonObject } from "@bufbuild/protobuf";
import type { NarrationLevel } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { PublishReceipt } from "../publishing.ts";
import type { EventOptions, PayloadInit } from "../worker.ts";
import type { StandardSchemaV1 } from "./standard-schema.ts";

/** What an operation is, besides what it does. */
export interface OperationOptions<Params = JsonObject> {
  /** What the operation does, for people. Default: empty. */
  readonly description?: string;
  /**
   * Schema of the parameters, of any library that implements Standard Schema. It is asked before there is a job; what it
   * gives, defaults filled in, is kept with the job as JSON, so it must be a JSON object. Default: any JSON object.
   */
  readonly params?: StandardSchemaV1<unknown, Params>;
  /** Jobs of the operation that run at once. Default: limits.jobConcurrency. */
  readonly concurrency?: number;
  /** Jobs that wait, deferred ones included. More is `limit_exceeded`. Default: limits.jobQueueDepth. */
  readonly queueDepth?: number;
  /** Bounds of every job of the operation, which a request can only make stricter. Default: none. */
  readonly timeouts?: JobTimeoutOptions;
  /**
   * Milliseconds that a handler has to settle after its signal aborted. Then it is let go: the job ends, and the handler
   * runs on without it. Default: limits.jobCancelGraceMs.
   */
  readonly cancelGraceMs?: number;
}

/** Bounds of a job, in milliseconds. Absent: none; a job may be silent for as long as it likes. */
export interface JobTimeoutOptions {
  /** From start to end. */
  readonly totalMs?: number;
  /** Without an event of the job while it runs. */
  readonly idleMs?: number;
  /** From submit to start. */
  readonly queueMs?: number;
}

/** How to submit a job from code. */
export interface SubmitOptions {
  /** Waits for `startJob`. Default: false. */
  readonly deferred?: boolean;
  /** Makes a retry harmless: the same key with the same request gives the same job. Default: none. */
  readonly idempotencyKey?: string;
  /** Worker that the job's events belong to. Default: none. */
  readonly workerId?: string;
  /** Ties the job's events to others of one cause. Default: none. */
  readonly correlationId?: string;
  readonly timeouts?: JobTimeoutOptions;
}

/** What a job did, where there is something to say of its success. */
export interface JobResult {
  /** Human-readable note. */
  readonly message?: string;
  /** Exit code of the command that the job ran. */
  readonly exitCode?: number;
}

/**
 * Runs a job. The job has succeeded when it settles, and has failed when it throws: with JobFailure as that says, with any
 * other error with the error's message, which viewers of the job see (of an error of the system its code only). Once `job.signal` aborted, the outcome is that of
 * the abort, whatever the handler does; it should stop soon.
 */
export type JobHandler<Params = JsonObject> = (
  params: Params,
  job: JobContext,
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that returns nothing is the usual one.
) => JobResult | undefined | void | Promise<JobResult | undefined | void>;

/** A failure that a handler says on purpose. Its message is shown to viewers of the job. */
export class JobFailure extends Error {
  override readonly name = "JobFailure";
  /** Machine-readable reason, cut after limits.maxJobReasonBytes. Default: "exit_code" with an exit code, else "handler_failed". */
  readonly reason: string;
  readonly exitCode: number | undefined;

  constructor(
    message: string,
    options: { readonly exitCode?: number; readonly reason?: string; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode;
    this.reason = options.reason ?? (options.exitCode === undefined ? "handler_failed" : "exit_code");
  }
}

/** Name of a level, as in `NarrationLevel`. */
export type LevelName = "debug" | "info" | "warn" | "error";

/** What may be said of a narration besides its action and message: the fields of `tailrace.v1.Narration`. */
export interface NarrateOptions extends EventOptions {
  /** Default: info. */
  readonly level?: LevelName | NarrationLevel;
  readonly actor?: string;
  readonly target?: string;
  readonly human?: string;
  readonly cute?: string;
  readonly story?: string;
  readonly emittedBy?: string;
  readonly errorKind?: string;
  readonly retryAfterMs?: number;
  readonly queuePosition?: number;
  readonly durationMs?: number;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly traceId?: string;
  readonly spanId?: string;
}

/** How far a job is. */
export interface ProgressInit {
  /** What progresses, so that several can run side by side. Default: the job as a whole. */
  readonly task?: string;
  /** How much is done, in units. */
  readonly done: number;
  /** How much there is in all, in units. Default: not known. */
  readonly total?: number;
  /** Unit, for example "bytes" or "files". Default: plain numbers. */
  readonly unit?: string;
  readonly message?: string;
}

/** Says things as narrations with the action "log". They never throw; what could not be said is reported to `onError`. */
export interface JobLogger {
  debug(message: string, options?: Omit<NarrateOptions, "level">): void;
  info(message: string, options?: Omit<NarrateOptions, "level">): void;
  warn(message: string, options?: Omit<NarrateOptions, "level">): void;
  error(message: string, options?: Omit<NarrateOptions, "level">): void;
}

/**
 * The job that a handler runs. What it publishes carries the job's ids. Its promises settle after the commit and reject
 * with TailraceError as `Runtime.publish` does, and with `job_ended` once the job has ended; they need not be awaited.
 */
export interface JobContext {
  readonly id: string;
  readonly operation: string;
  /** Empty: none. */
  readonly workerId: string;
  /** Empty: none. */
  readonly correlationId: string;
  /** Aborts when the job is cancelled, is out of time, or its runtime closes. The reason is an Error that says which. */
  readonly signal: AbortSignal;
  readonly log: JobLogger;
  /** Says something for people. */
  narrate(action: string, message: string, options?: NarrateOptions): Promise<PublishReceipt>;
  /** Says how far the job is. */
  progress(progress: ProgressInit): Promise<PublishReceipt>;
  /** Publishes any payload that is not the runtime's alone to say. */
  publish(payload: PayloadInit, options?: EventOptions): Promise<PublishReceipt>;
  /**
   * Environment for a child process or worker thread of the job: TAILRACE_JOB_ID, TAILRACE_OPERATION, TAILRACE_WORKER_ID,
   * TAILRACE_CORRELATION_ID, TAILRACE_JOB_TOKEN (a secret that is good for events of this job while it runs) and, where
   * the runtime is served, TAILRACE_SERVER.
   */
  environment(): Record<string, string>;
  /** The function, bound to this job: wherever it is called from, an emitter of someone else for example, it is in the job. */
  bind<F extends (...args: never[]) => unknown>(fn: F): F;
}
