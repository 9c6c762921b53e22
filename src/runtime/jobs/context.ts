import { AsyncLocalStorage } from "node:async_hooks";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type NewEvent, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { TailraceError } from "../../base/errors.ts";
import type { PublishReceipt } from "../publishing.ts";
import type { EventOptions, PayloadInit } from "../worker.ts";
import { narrationPayload, progressPayload } from "./narration.ts";
import type { JobContext, JobLogger, NarrateOptions, ProgressInit } from "./operation.ts";

/** What a context publishes through, and what it is the context of. */
export interface JobLink {
  readonly id: string;
  readonly operation: string;
  readonly workerId: string;
  readonly correlationId: string;
  readonly signal: AbortSignal;
  /** The runtime that the job belongs to; undefined: it is in another thread. */
  readonly runtime: object | undefined;
  /** Whether the job can still have events. */
  open(): boolean;
  publish(event: NewEvent): Promise<PublishReceipt>;
  environment(): Record<string, string>;
  /** Something could not be said, and perhaps nobody waits to hear it. */
  refused(error: unknown): void;
}

const storage = new AsyncLocalStorage<LinkedJob>();

/** Runs a function as if nobody had called it. */
const outside = AsyncLocalStorage.snapshot();

/**
 * Runs a function in a job: what it calls, awaits, times and emits finds the job, and nothing of whoever made room for it: that
 * may be the request that submitted it, or another job that has just ended.
 */
export function runInJob<T>(job: LinkedJob, run: () => T): T {
  return outside(() => storage.run(job, run));
}

/** The job that the caller runs in, in this thread. */
export function storedJob(): LinkedJob | undefined {
  return storage.getStore();
}

/** The one implementation of a job's context, in the runtime's own thread and in others. */
export class LinkedJob implements JobContext {
  readonly link: JobLink;
  readonly log: JobLogger;

  constructor(link: JobLink) {
    this.link = link;
    this.log = loggerOf(() => this);
  }

  get id(): string {
    return this.link.id;
  }

  get operation(): string {
    return this.link.operation;
  }

  get workerId(): string {
    return this.link.workerId;
  }

  get correlationId(): string {
    return this.link.correlationId;
  }

  get signal(): AbortSignal {
    return this.link.signal;
  }

  narrate(action: string, message: string, options: NarrateOptions = {}): Promise<PublishReceipt> {
    return this.#publish(() => narrationPayload(action, message, options), options);
  }

  progress(progress: ProgressInit): Promise<PublishReceipt> {
    return this.#publish(() => progressPayload(progress), {});
  }

  publish(payload: PayloadInit, options: EventOptions = {}): Promise<PublishReceipt> {
    return this.#publish(() => payload, options);
  }

  environment(): Record<string, string> {
    return this.link.environment();
  }

  bind<F extends (...args: never[]) => unknown>(fn: F): F {
    return ((...args: never[]) => storage.run(this, () => fn(...args))) as F;
  }

  #publish(payload: () => PayloadInit, options: EventOptions): Promise<PublishReceipt> {
    const publish = async () => this.link.publish(create(NewEventSchema, this.#event(payload(), options)));
    const published = publish();
    // Whoever does not wait must not bring the process down, and whoever does hears it all the same.
    published.catch((error: unknown) => this.link.refused(error));
    return published;
  }

  #event(payload: PayloadInit, options: EventOptions): MessageInitShape<typeof NewEventSchema> {
    return {
      jobId: options.jobId ?? this.id,
      workerId: this.workerId,
      correlationId: options.correlationId ?? this.correlationId,
      payload,
      ...(options.producerTimeMs === undefined ? {} : { producerTime: timestampFromMs(options.producerTimeMs) }),
    };
  }
}

/** A logger for the job that `current` gives. */
export function loggerOf(current: () => JobContext): JobLogger {
  const say = (level: "debug" | "info" | "warn" | "error") => (message: string, options?: NarrateOptions) => {
    // The context keeps the rejection.
    void current().narrate("log", message, { ...options, level });
  };
  return { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
}

/** What is thrown where there is no job. */
export function outsideOfJob(): TailraceError<"invalid_request"> {
  const description =
    "there is no job here: call it in the handler of an operation, in what that calls, or through job.bind(); a child process runs `tailrace narrate`";
  return new TailraceError("invalid_request", { field: "job", description }, `narrate: ${description}`);
}
