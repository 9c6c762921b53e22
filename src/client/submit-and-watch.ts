import type { JsonObject } from "@bufbuild/protobuf";
import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import type { Job } from "../../gen/tailrace/v1/job_service_pb.ts";
import { invalidRequest, TailraceError } from "../base/errors.ts";
import { clientClock } from "./clock.ts";
import type { CommandServerOptions, Connection } from "./connection.ts";
import { eventIterator } from "./event-iterator.ts";
import { isNotServed } from "./failures.ts";
import {
  type JobEnd,
  jobCalls,
  jobEndOf,
  type SubmitOptions,
  type SubmittedJob,
  submittedJob,
  verdictOfJobCall,
} from "./jobs.ts";
import type { WatchOptions } from "./options.ts";
import { randomId } from "./random-id.ts";
import { untilAnswered } from "./retry.ts";
import { ResumableWatch, type Watch, type WatchedBatch } from "./watch.ts";

/** What to run, and how to follow it: options of a watch apply to the watch of the job. */
export interface SubmitAndWatchOptions
  extends SubmitOptions,
    Pick<CommandServerOptions, "commandUrl">,
    Omit<
      WatchOptions,
      | "workerIds"
      | "jobId"
      | "cursor"
      | "startAt"
      | "since"
      | "last"
      | "ifMissing"
      | "checkpoint"
      | "checkpointIntervalMs"
      | "verifyWorkerSequence"
    > {
  readonly operation: string;
  /** Parameters of the operation. Default: none. */
  readonly params?: JsonObject;
}

/**
 * A job and its events. Iterate it once, event by event or in batches, or not at all: the job runs by itself, and leaving
 * the iteration cancels nothing.
 */
export interface JobWatch extends AsyncIterable<Event>, AsyncDisposable {
  /** Settles when the server has accepted the job. Rejects with a TailraceError if it does not. */
  readonly submitted: Promise<SubmittedJob>;
  /**
   * Settles when the job has ended, however it ended, and whether the events are iterated or not. Rejects with a
   * TailraceError if the job was not accepted or can't be followed, and with an AbortError after `close` or an abort.
   */
  readonly outcome: Promise<JobEnd>;
  /** The events as they came, several at a time: faster where each takes little work. */
  batches(): AsyncIterableIterator<WatchedBatch, undefined>;
  /** Asks the job to end, over whatever connections it takes. The job's last event says when it has. */
  cancel(message?: string): Promise<Job>;
  /** Stops following. The job goes on. */
  close(): Promise<void>;
}

/** Make connections: `command` one for calls, `watch` one for one watch, as often as it is asked. */
export interface JobConnections {
  readonly command: () => Connection;
  readonly watch: () => Connection;
}

export function submitAndWatchOver(connections: JobConnections, options: SubmitAndWatchOptions): JobWatch {
  return new FollowedJob(connections, options);
}

class FollowedJob implements JobWatch {
  readonly submitted: Promise<SubmittedJob>;
  readonly #connections: JobConnections;
  readonly #connection: Connection;
  /** For the first watch. Made before the job is, so that an address which makes no sense is noticed in time. */
  #watchConnection: Connection | undefined;
  readonly #options: SubmitAndWatchOptions;
  readonly #left = new AbortController();
  readonly #signal: AbortSignal;
  #iterated = false;
  #watch: Watch | undefined;
  /** Settles when the iteration, if one has begun, is over. */
  #iteration: Promise<void> = Promise.resolve();
  #end: JobEnd | undefined;
  #outcome: Promise<JobEnd> | undefined;

  constructor(connections: JobConnections, options: SubmitAndWatchOptions) {
    this.#connections = connections;
    this.#connection = connections.command();
    this.#watchConnection = connections.watch();
    this.#options = options;
    const { signal } = options;
    this.#signal = signal === undefined ? this.#left.signal : AbortSignal.any([signal, this.#left.signal]);
    this.submitted = this.#submit();
    // Whoever only iterates hears of it there.
    this.submitted.catch(() => undefined);
  }

  get outcome(): Promise<JobEnd> {
    this.#outcome ??= this.#awaitEnd();
    return this.#outcome;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Event, undefined> {
    return eventIterator(this.batches(), () => undefined);
  }

  batches(): AsyncIterableIterator<WatchedBatch, undefined> {
    if (this.#iterated) throw invalidRequest("submitAndWatch", "it can be iterated only once; watch its job instead");
    this.#iterated = true;
    const batches = this.#batches();
    return {
      next: () => batches.next(),
      // Closed first: a generator answers `return` only after the `next` that waits for an event.
      return: async () => {
        await this.#watch?.close();
        return batches.return(undefined);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async cancel(message = ""): Promise<Job> {
    const { jobId } = await this.submitted;
    const { cancel } = jobCalls(this.#connection);
    return this.#untilAnswered(() => cancel(jobId, { message, signal: this.#signal }));
  }

  async close(): Promise<void> {
    this.#left.abort();
    await this.#watch?.close();
    this.#connection.close?.();
    this.#watchConnection?.close?.();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #submit(): Promise<SubmittedJob> {
    const { operation, params = {} } = this.#options;
    // A call whose answer was lost may have made the job: with a key the next one finds it.
    const idempotencyKey = this.#options.idempotencyKey ?? randomId();
    const { submit } = jobCalls(this.#connection);
    const request = { ...this.#options, idempotencyKey, signal: this.#signal };
    return submittedJob(await this.#untilAnswered(() => submit(operation, params, request)));
  }

  #untilAnswered<T>(call: () => Promise<T>): Promise<T> {
    const { backoff, clock = clientClock, onStatus } = this.#options;
    return untilAnswered(call, {
      connection: this.#connection,
      verdictOf: verdictOfJobCall,
      backoff,
      clock,
      signal: this.#signal,
      onRetry: (retry) => onStatus?.({ kind: "reconnecting", ...retry }),
    });
  }

  async *#batches(): AsyncGenerator<WatchedBatch, undefined> {
    const over = Promise.withResolvers<void>();
    this.#iteration = over.promise;
    try {
      const { jobId, cursor } = await this.submitted;
      const watch = this.#open(jobId, cursor, {});
      this.#watch = watch;
      yield* watch.batches();
      this.#learn(watch);
    } catch (error) {
      // Leaving on purpose is no error, as for any watch.
      if (!this.#signal.aborted) throw notFollowed(error, await this.submitted);
    } finally {
      over.resolve();
    }
    return undefined;
  }

  /** Waits for the iteration if there is one, since it sees the end; else, or if it was left before, looks for itself. */
  async #awaitEnd(): Promise<JobEnd> {
    const { jobId, cursor } = await this.submitted;
    await this.#iteration;
    if (this.#end === undefined) {
      const watch = this.#open(jobId, cursor, { kinds: ["job_state_changed"], onExpired: "continue_with_gap" });
      try {
        for await (const _ of watch.batches());
      } catch (error) {
        throw notFollowed(error, { jobId });
      }
      this.#learn(watch);
    }
    this.#signal.throwIfAborted();
    if (this.#end === undefined) throw invalidRequest("jobId", "its stream ended without the end of a job");
    return this.#end;
  }

  #open(jobId: string, cursor: string, more: Pick<WatchOptions, "kinds" | "onExpired">): Watch {
    const { kinds, onExpired, heartbeatMs, backoff, connectTimeoutMs, onStatus, clock } = this.#options;
    return new ResumableWatch(
      {
        jobId,
        cursor,
        signal: this.#signal,
        ...definedOf({ kinds, onExpired, heartbeatMs, backoff, connectTimeoutMs, onStatus, clock }),
        ...more,
      },
      this.#takeWatchConnection(),
    );
  }

  #takeWatchConnection(): Connection {
    const first = this.#watchConnection;
    this.#watchConnection = undefined;
    return first ?? this.#connections.watch();
  }

  #learn(watch: Watch): void {
    if (watch.outcome?.case === "job") this.#end = jobEndOf(watch.outcome.value);
  }
}

/** The job exists, so that nobody who is told "no server there" submits it again. */
function notFollowed(error: unknown, { jobId }: Pick<SubmittedJob, "jobId">): unknown {
  if (!isNotServed(error)) return error;
  const message = `Job ${jobId} was submitted and goes on, but can't be followed: the server serves no watching at this address. Give the one that it has for that (--server, in programs baseUrl), and the one for commands beside it (--command-server, commandUrl).`;
  return new TailraceError("connection_failed", error.details, message, { cause: error });
}

/** Options without those that are undefined. */
function definedOf<T extends object>(options: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]?: Exclude<T[Name], undefined>;
  };
}
