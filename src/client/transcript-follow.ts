import { type Backoff, defaultBackoff, fullJitter } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { hasReason, invalidRequest, type TailraceError } from "../base/errors.ts";
import { foldTranscript, transcriptKinds } from "../events/transcript/fold.ts";
import { emptyTranscript, type TranscriptState } from "../events/transcript/state.ts";
import { clientClock } from "./clock.ts";
import type { Connection, ServerOptions } from "./connection.ts";
import { verdictOfThrown } from "./failures.ts";
import type { StreamOutcome, WatchStatus } from "./status.ts";
import { Transcript } from "./transcript.ts";
import { TranscriptReader } from "./transcript-reader.ts";
import { ResumableWatch } from "./watch.ts";

/** What happens to a follow, apart from the transcript. */
export type TranscriptStatus =
  | WatchStatus
  /** The position to go on from is no longer good (`cursor_expired`, `cursor_unknown`): the transcript is read again. */
  | { readonly kind: "reread"; readonly error: TailraceError };

export interface FollowTranscriptOptions extends ServerOptions {
  readonly workerId: string;
  /** What to do when the worker does not exist: stop (default), or wait until it does. */
  readonly ifMissing?: "fail" | "wait";
  /** Aborting ends the iteration without an error. */
  readonly signal?: AbortSignal;
  /** Hears what happens apart from the transcript. What it throws ends the follow. */
  readonly onStatus?: (status: TranscriptStatus) => void;
  /** How to wait before trying again; as for a watch. */
  readonly backoff?: Partial<Backoff> & { readonly maxAttempts?: number; readonly random?: () => number };
  /** Silence in milliseconds after which the server sends a bookmark, 1,000 to 60,000. Default: 15,000. */
  readonly heartbeatMs?: number;
  /** Time, for tests. */
  readonly clock?: Clock;
}

/**
 * A transcript that is followed: first as it was read, then as it is after each event that changed it. Iterate it once. The
 * iteration survives lost connections and restarts of the server, ends when the worker ends (then `outcome` says how), when
 * the signal aborts or `close` is called, and throws a TailraceError for a terminal reason.
 */
export interface FollowedTranscript extends AsyncIterable<Transcript>, AsyncDisposable {
  /** The same, but after each batch of events as they came: less work where many come at once. */
  batches(): AsyncIterableIterator<Transcript, undefined>;
  /** How the worker ended; undefined: it did not. */
  readonly outcome: StreamOutcome | undefined;
  close(): Promise<void>;
}

/** Follows a transcript. `open` makes a connection; each is closed when it is no longer used. */
export function followTranscriptOver(options: FollowTranscriptOptions, open: () => Connection): FollowedTranscript {
  if (options.workerId === "") throw invalidRequest("workerId", "it is empty");
  return new Follow(options, open);
}

class Follow implements FollowedTranscript {
  readonly #options: FollowTranscriptOptions;
  readonly #open: () => Connection;
  readonly #clock: Clock;
  readonly #left = new AbortController();
  readonly #signal: AbortSignal;
  #watch: ResumableWatch | undefined;
  #iterated = false;

  constructor(options: FollowTranscriptOptions, open: () => Connection) {
    this.#options = options;
    this.#open = open;
    this.#clock = options.clock ?? clientClock;
    const { signal } = options;
    this.#signal = signal === undefined ? this.#left.signal : AbortSignal.any([signal, this.#left.signal]);
  }

  get outcome(): StreamOutcome | undefined {
    return this.#watch?.outcome;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Transcript, undefined> {
    return this.#iterate(true);
  }

  batches(): AsyncIterableIterator<Transcript, undefined> {
    return this.#iterate(false);
  }

  async close(): Promise<void> {
    this.#left.abort();
    await this.#watch?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #iterate(everyEvent: boolean): AsyncIterableIterator<Transcript, undefined> {
    if (this.#iterated) throw invalidRequest("followTranscript", "it can be iterated only once; follow it again");
    this.#iterated = true;
    const transcripts = this.#transcripts(everyEvent);
    return {
      next: () => transcripts.next(),
      // Closed first: a generator answers `return` only after the `next` that waits for an event.
      return: async () => {
        await this.close();
        return transcripts.return(undefined);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async *#transcripts(everyEvent: boolean): AsyncGenerator<Transcript, undefined> {
    for (;;) {
      const read = await this.#read();
      if (read === undefined) return undefined;
      let { state } = read;
      yield new Transcript(this.#options.workerId, read, state);
      let shown = state;
      try {
        for await (const { events, cursor } of this.#watchFrom(read.cursor).batches()) {
          for (const event of events) {
            state = foldTranscript(state, event);
            if (!everyEvent || state.revision === shown.revision) continue;
            yield this.#folded(state, event.cursor, shown);
            shown = state;
          }
          if (state.revision === shown.revision) continue;
          yield this.#folded(state, cursor, shown);
          shown = state;
        }
        return undefined;
      } catch (error) {
        if (!hasReason(error, "cursor_expired") && !hasReason(error, "cursor_unknown")) throw error;
        this.#options.onStatus?.({ kind: "reread", error });
      }
    }
  }

  #folded(state: TranscriptState, cursor: string, before: TranscriptState): Transcript {
    return new Transcript(this.#options.workerId, { cursor, revision: "" }, state, before);
  }

  #watchFrom(cursor: string): ResumableWatch {
    const { workerId, onStatus, backoff, heartbeatMs } = this.#options;
    this.#watch = new ResumableWatch(
      {
        workerIds: [workerId],
        kinds: [...transcriptKinds],
        signal: this.#signal,
        clock: this.#clock,
        ...(cursor === "" ? { ifMissing: "wait" } : { cursor }),
        ...(onStatus === undefined ? {} : { onStatus }),
        ...(backoff === undefined ? {} : { backoff }),
        ...(heartbeatMs === undefined ? {} : { heartbeatMs }),
      },
      this.#open(),
    );
    return this.#watch;
  }

  /** Reads the transcript, as often as it takes. Undefined: nobody waits for it any more. */
  async #read(): Promise<{ state: TranscriptState; cursor: string; revision: string } | undefined> {
    const { workerId, ifMissing, backoff = {}, onStatus } = this.#options;
    const { maxAttempts = Number.POSITIVE_INFINITY, random = Math.random, ...delays } = backoff;
    for (let attempt = 1; !this.#signal.aborted; attempt++) {
      const connection = this.#open();
      try {
        const { state, cursor, revision } = await new TranscriptReader(connection).read(workerId, {
          signal: this.#signal,
        });
        if (state !== undefined) return { state, cursor, revision };
      } catch (error) {
        if (this.#signal.aborted) return undefined;
        const verdict = verdictOfThrown(error);
        if (verdict.error.reason === "worker_not_found" && ifMissing === "wait") {
          return { state: emptyTranscript(), cursor: "", revision: "" };
        }
        if (verdict.kind === "stop" || attempt >= maxAttempts) throw verdict.error;
        const delayMs = Math.max(
          verdict.retryAfterMs ?? 0,
          fullJitter(attempt, { ...defaultBackoff, ...delays }, random()),
        );
        onStatus?.({ kind: "reconnecting", attempt, delayMs, error: verdict.error });
        await this.#wait(delayMs);
      } finally {
        connection.close?.();
      }
    }
    return undefined;
  }

  #wait(ms: number): Promise<void> {
    if (this.#signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        stop();
        this.#signal.removeEventListener("abort", done);
        resolve();
      };
      const stop = this.#clock.after(ms, done);
      this.#signal.addEventListener("abort", done, { once: true });
    });
  }
}
