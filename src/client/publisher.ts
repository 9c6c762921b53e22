import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { type PublishEventsResponse, PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { type Backoff, defaultBackoff, fullJitter } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { invalidRequest, TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { clientClock } from "./clock.ts";
import type { CommandServerOptions, Connection } from "./connection.ts";
import { type Verdict, verdictOfCommand } from "./failures.ts";
import { messageSizeAtMost } from "./message-size.ts";
import { randomId } from "./random-id.ts";

/** An event as a producer gives it: worker, job, correlation, and one payload. */
export type NewEventInit = MessageInitShape<typeof NewEventSchema>;

/** Where published events are. */
export interface PublishReceipt {
  /** A position at or soon after the last of the events: a watch from it does not see them again. */
  readonly cursor: string;
  /**
   * The events lie from the first to the last of these. Where the server added events to a request that calls shared (the
   * creation of a worker, or the pieces of large output), they are counted as if those came first.
   */
  readonly firstSequence: bigint;
  readonly lastSequence: bigint;
}

export interface PublisherOptions extends CommandServerOptions {
  /** How to wait before trying again; see `WatchOptions.backoff`. Default: it never gives up. */
  readonly backoff?: Partial<Backoff> & { readonly maxAttempts?: number; readonly random?: () => number };
  /** Milliseconds that the server has to answer. Default: 30,000. */
  readonly requestTimeoutMs?: number;
  /** Aborting rejects all that waits. What was sent already may have been committed. */
  readonly signal?: AbortSignal;
  /** Hears of every failure that is tried again. */
  readonly onRetry?: (retry: { attempt: number; delayMs: number; error: TailraceError }) => void;
  /** Time, for tests. */
  readonly clock?: Clock;
}

/**
 * Publishes events in the order of the calls, each exactly once however often the connection breaks: a random producer id
 * and a count of events make a retry harmless. Calls that wait share a request.
 */
export interface Publisher extends AsyncDisposable {
  /**
   * Commits events, those of one call all or none, and settles after the commit.
   * @throws TailraceError `limit_exceeded` while too much waits (see `ready`), `invalid_request`, or why the server refuses.
   */
  publish(events: NewEventInit | readonly NewEventInit[]): Promise<PublishReceipt>;
  /** Settles as soon as there is room for another `publish`. */
  ready(): Promise<void>;
  /** Settles when all calls so far have settled. */
  flush(): Promise<void>;
  /** Refuses further calls, and settles when those so far have. */
  close(): Promise<void>;
}

interface Call {
  readonly events: readonly NewEvent[];
  readonly bytes: number;
  readonly resolve: (receipt: PublishReceipt) => void;
  readonly reject: (error: TailraceError) => void;
}

export function createPublisherOver(connection: Connection, options: PublisherOptions): Publisher {
  return new OrderedPublisher(connection, options);
}

class OrderedPublisher implements Publisher {
  readonly #client: Client<typeof PublisherService>;
  readonly #connection: Connection;
  readonly #options: PublisherOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  #producerId = randomId();
  /** The number of the next event. Moves on only when the server has answered, so that it never leaves a hole. */
  #nextSequence = 1n;
  #queue: Call[] = [];
  #queuedBytes = 0;
  #draining: Promise<void> | undefined;
  #closed = false;
  #wakeReady: (() => void)[] = [];

  constructor(connection: Connection, options: PublisherOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#clock = options.clock ?? clientClock;
    const { maxAttempts: _, random: __, ...backoff } = options.backoff ?? {};
    this.#backoff = { ...defaultBackoff, ...backoff };
    this.#client = createClient(PublisherService, connection.transport);
  }

  async publish(init: NewEventInit | readonly NewEventInit[]): Promise<PublishReceipt> {
    if (this.#closed) throw invalidRequest("publisher", "it is closed");
    const events = (Array.isArray(init) ? init : [init]).map((event) => create(NewEventSchema, event));
    if (events.length === 0) throw invalidRequest("events", "it is empty: give at least one event");
    if (events.length > limits.maxPublishEvents) {
      throw invalidRequest("events", `${events.length} events in one call; at most ${limits.maxPublishEvents}`);
    }
    if (this.#queuedBytes >= limits.publisherQueueBytes) throw queueFull();
    const bytes = sizeOf(events);
    return new Promise((resolve, reject) => {
      this.#queue.push({ events, bytes, resolve, reject });
      this.#queuedBytes += bytes;
      this.#draining ??= this.#drain();
    });
  }

  ready(): Promise<void> {
    if (this.#queuedBytes < limits.publisherQueueBytes) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wakeReady.push(resolve);
    });
  }

  async flush(): Promise<void> {
    await this.#draining;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
    this.#connection.close?.();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One request at a time: with two on their way the second could be committed without the first. */
  async #drain(): Promise<void> {
    // Calls of the same turn share the first request.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const calls = this.#takeCalls();
      await this.#send(calls);
      for (const call of calls) this.#queuedBytes -= call.bytes;
      if (this.#queuedBytes < limits.publisherQueueBytes) {
        for (const wake of this.#wakeReady.splice(0)) wake();
      }
    }
    this.#draining = undefined;
  }

  #takeCalls(): Call[] {
    let events = 0;
    let bytes = 0;
    let count = 0;
    for (const call of this.#queue) {
      events += call.events.length;
      bytes += call.bytes;
      if (count > 0 && (events > limits.maxPublishEvents || bytes > limits.publisherRequestBytes)) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /** Sends calls as one batch until the server has answered, and settles them. Never throws. */
  async #send(calls: readonly Call[]): Promise<void> {
    /** Whether an earlier try may have been committed without an answer. */
    let uncertain = false;
    let renewed = false;
    for (let attempt = 1; ; attempt++) {
      const verdict = await this.#try(calls);
      if (verdict === undefined) return;
      const { error } = verdict;
      if (verdict.kind === "retry" && (await this.#waitToRetry(attempt, verdict))) {
        uncertain ||= error.reason !== "limit_exceeded" && error.reason !== "server_closing";
        continue;
      }
      if (error.reason === "producer_unknown" && !uncertain && !renewed) {
        // Never committed before, so that it can't be twice in the log under another name.
        this.#renew();
        renewed = true;
        continue;
      }
      if (error.reason === "invalid_request" && calls.length > 1) {
        // Nothing was committed. One call's mistake is not to be another's.
        for (const call of calls) await this.#send([call]);
        return;
      }
      if (uncertain || verdict.kind === "retry" || error.reason.startsWith("producer_")) this.#renew();
      for (const call of calls) call.reject(error);
      return;
    }
  }

  /** One request. Undefined: it was answered, and the calls are settled. */
  async #try(calls: readonly Call[]): Promise<Verdict | undefined> {
    const events = calls.length === 1 ? (calls[0] as Call).events : calls.flatMap((call) => call.events);
    const { signal } = this.#options;
    try {
      const response = await this.#client.publishEvents(
        { events: [...events], producerId: this.#producerId, firstProducerSequence: this.#nextSequence },
        {
          timeoutMs: this.#options.requestTimeoutMs ?? limits.requestTimeoutMs,
          ...(signal === undefined ? {} : { signal }),
        },
      );
      this.#nextSequence += BigInt(events.length);
      settle(calls, response);
      return undefined;
    } catch (thrown) {
      return verdictOfCommand(thrown, "publishing");
    }
  }

  /** Waits for the next try. False: there is none. */
  async #waitToRetry(attempt: number, verdict: Extract<Verdict, { kind: "retry" }>): Promise<boolean> {
    const { signal, backoff, onRetry } = this.#options;
    if (signal?.aborted || attempt >= (backoff?.maxAttempts ?? Number.POSITIVE_INFINITY)) return false;
    // A request without an answer may have died with its connection; the next one must not go the same way.
    if (verdict.error.reason === "connection_failed") this.#connection.reset?.();
    const asked = verdict.retryAfterMs ?? 0;
    const random = (backoff?.random ?? Math.random)();
    const delayMs = asked + fullJitter(asked > 0 ? 1 : attempt, this.#backoff, random);
    onRetry?.({ attempt, delayMs, error: verdict.error });
    await new Promise<void>((resolve) => {
      const stop = this.#clock.after(delayMs, () => {
        signal?.removeEventListener("abort", leave);
        resolve();
      });
      const leave = () => {
        stop();
        resolve();
      };
      signal?.addEventListener("abort", leave, { once: true });
    });
    return !signal?.aborted;
  }

  /** Becomes another producer, after which nothing that it sent before is a repeat. */
  #renew(): void {
    this.#producerId = randomId();
    this.#nextSequence = 1n;
  }
}

function settle(calls: readonly Call[], { cursor, firstSequence, lastSequence }: PublishEventsResponse): void {
  // Events of a batch have consecutive sequences. From its end, because the server may have put others in front.
  let last = lastSequence - BigInt(calls.reduce((sum, { events }) => sum + events.length, 0));
  for (const [index, { events, resolve }] of calls.entries()) {
    const first = index === 0 ? firstSequence : last + 1n;
    last += BigInt(events.length);
    resolve({ cursor, firstSequence: first, lastSequence: last });
  }
}

function sizeOf(events: readonly NewEvent[]): number {
  let bytes = messageSizeAtMost(events);
  // The estimate is high; before it refuses anything, the truth.
  if (bytes > limits.publisherRequestBytes) {
    bytes = events.reduce((sum, event) => sum + toBinary(NewEventSchema, event).length + 8, 0);
    if (bytes > limits.publisherRequestBytes) {
      throw invalidRequest("events", `${bytes} bytes in one call; at most ${limits.publisherRequestBytes}`);
    }
  }
  return bytes;
}

function queueFull(): TailraceError<"limit_exceeded"> {
  const maximum = limits.publisherQueueBytes;
  return new TailraceError(
    "limit_exceeded",
    { limit: "publisherQueueBytes", maximum },
    `More than ${maximum} bytes wait to be published. Await ready() before the next publish().`,
  );
}
