import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import { defaultBackoff } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { invalidRequest } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { CheckpointSaver } from "./checkpoint.ts";
import { clientClock } from "./clock.ts";
import type { Connection } from "./connection.ts";
import { eventIterator } from "./event-iterator.ts";
import type { WatchOptions } from "./options.ts";
import { positive, watchRequest } from "./request.ts";
import { SequenceCheck } from "./sequences.ts";
import { WatchSession } from "./session.ts";
import type { StreamOutcome, WatchStatus } from "./status.ts";

/** Events of one runtime, in order, at least one. */
export interface WatchedBatch {
  readonly events: readonly Event[];
  /** Position after the last of them. */
  readonly cursor: string;
  readonly runtimeId: string;
}

/**
 * A watch that survives its connections. Iterate it once, event by event or in batches; it connects when the first one is
 * asked for. The iteration ends when the scope ends (then `outcome` says how), when the signal aborts or `close` is called,
 * and throws a TailraceError for a terminal reason.
 */
export interface Watch extends AsyncIterable<Event>, AsyncDisposable {
  /** The same events as they came, several at a time: faster where each takes little work. */
  batches(): AsyncIterableIterator<WatchedBatch, undefined>;
  /**
   * The position after the last event that the consumer is done with, which it is when it asks for the next. A watch from
   * here goes on without loss. Undefined: nothing is known yet.
   */
  readonly cursor: string | undefined;
  /** How the scope ended; undefined: it did not. */
  readonly outcome: StreamOutcome | undefined;
  /** Ends the watch and saves the checkpoint. */
  close(): Promise<void>;
}

export class ResumableWatch implements Watch {
  readonly #options: WatchOptions;
  readonly #clock: Clock;
  readonly #session: WatchSession;
  readonly #saver: CheckpointSaver | undefined;
  readonly #check: SequenceCheck | undefined;
  readonly #leave = () => this.#session.close();
  #iterated = false;
  #cursor: string | undefined;
  #outcome: StreamOutcome | undefined;
  /** What the consumer has in hand, and how many of its events it is done with. */
  #batch: WatchedBatch | undefined;
  #done = 0;
  /** What `onStatus` threw. */
  #broken: { readonly error: unknown } | undefined;

  constructor(options: WatchOptions, connection: Connection) {
    this.#options = options;
    this.#clock = options.clock ?? clientClock;
    this.#check = options.verifyWorkerSequence ? new SequenceCheck() : undefined;
    const { maxAttempts = Number.POSITIVE_INFINITY, random = Math.random, ...backoff } = options.backoff ?? {};
    if (!(maxAttempts >= 1)) throw invalidRequest("backoff.maxAttempts", `${maxAttempts} is not at least 1`);
    this.#session = new WatchSession({
      connection,
      request: watchRequest(options),
      settings: {
        backoff: { ...defaultBackoff, ...backoff },
        maxAttempts,
        connectTimeoutMs: positive("connectTimeoutMs", options.connectTimeoutMs ?? limits.connectTimeoutMs),
      },
      clock: this.#clock,
      random,
      onReconnecting: (status) => this.#notify(status),
    });
    if (options.checkpoint !== undefined) {
      const intervalMs = positive("checkpointIntervalMs", options.checkpointIntervalMs ?? 1_000);
      this.#saver = new CheckpointSaver(options.checkpoint, intervalMs, this.#clock, this, (error) =>
        this.#notify({ kind: "checkpoint_failed", error }),
      );
    }
  }

  get cursor(): string | undefined {
    const batch = this.#batch;
    if (batch === undefined || this.#done === 0) return this.#cursor;
    return this.#done === batch.events.length ? batch.cursor : (batch.events[this.#done - 1] as Event).cursor;
  }

  /** Whether the consumer is in the middle of a batch. */
  get busy(): boolean {
    return this.#batch !== undefined;
  }

  get outcome(): StreamOutcome | undefined {
    return this.#outcome;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Event, undefined> {
    return eventIterator(this.batches(), (done) => {
      this.#done = done;
    });
  }

  batches(): AsyncIterableIterator<WatchedBatch, undefined> {
    if (this.#iterated) throw invalidRequest("watch", "it can be iterated only once; open another watch at its cursor");
    this.#iterated = true;
    const batches = this.#batches();
    return {
      next: () => batches.next(),
      // Closed first: a generator answers `return` only after the `next` that waits for an event.
      return: async () => {
        await this.close();
        return batches.return(undefined);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async close(): Promise<void> {
    this.#options.signal?.removeEventListener("abort", this.#leave);
    this.#session.close();
    await this.#saver?.finish();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *#batches(): AsyncGenerator<WatchedBatch, undefined> {
    const { signal, cursor } = this.#options;
    if (signal?.aborted) this.#session.close();
    signal?.addEventListener("abort", this.#leave, { once: true });
    try {
      const saved = await this.#saver?.load();
      this.#cursor = saved ?? cursor;
      this.#session.start(saved);
      for (;;) {
        const batch = this.#next();
        if (batch !== undefined) {
          this.#batch = batch;
          this.#done = 0;
          this.#saver?.touch();
          yield batch;
          // Only now has the consumer asked for more.
          this.#cursor = batch.cursor;
          this.#batch = undefined;
          continue;
        }
        if (this.#broken !== undefined) throw this.#broken.error;
        if (this.#session.end !== undefined) break;
        await this.#session.wait();
      }
    } finally {
      await this.close();
    }
    const error = this.#session.end?.error;
    if (error !== undefined) throw error;
    return undefined;
  }

  /** The next batch that is there already. Tells what lies in between. */
  #next(): WatchedBatch | undefined {
    for (;;) {
      if (this.#broken !== undefined) return undefined;
      const received = this.#session.take();
      if (received === undefined) return undefined;
      if (received.kind === "events") {
        if (received.events.length > 0) {
          this.#verify(received.events);
          return received;
        }
      } else {
        this.#tell(received.status);
      }
      if (received.cursor !== "") this.#moveTo(received.cursor);
    }
  }

  #moveTo(cursor: string): void {
    this.#cursor = cursor;
    this.#saver?.touch();
  }

  #tell(status: WatchStatus): void {
    if (status.kind === "ended") this.#outcome = status.outcome;
    if (status.kind === "gap") this.#check?.reset();
    this.#notify(status);
  }

  #verify(events: readonly Event[]): void {
    this.#check?.check(events, (workerId, expected, received) =>
      this.#notify({ kind: "sequence_hole", workerId, expected, received }),
    );
  }

  /** A caller's mistake in `onStatus` must not be lost in a timer: it ends the watch and reaches the caller. */
  #notify(status: WatchStatus): void {
    try {
      this.#options.onStatus?.(status);
    } catch (error) {
      this.#broken = { error };
      this.#session.close();
    }
  }
}
