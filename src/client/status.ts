import type { StreamEnded } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { TailraceError } from "../base/errors.ts";

/** How a scope ended: `{ case: "worker", value: WorkerEnded }` or `{ case: "job", value: JobStateChanged }`. */
export type StreamOutcome = StreamEnded["end"];

/**
 * What happens to a watch, apart from its events. All but `reconnecting`, `checkpoint_failed` and `sequence_hole` belong to
 * a place in the stream and come in order with the events: after those before them were taken.
 */
export type WatchStatus =
  /** A connection is open. `resumed`: this is not the first one of the watch. Cursors bound the scope. */
  | {
      readonly kind: "opened";
      readonly runtimeId: string;
      readonly cursor: string;
      readonly earliestCursor: string;
      readonly latestCursor: string;
      readonly heartbeatMs: number;
      readonly resumed: boolean;
    }
  /** The watch is live. `lagEvents`: events of the runtime up to the head, at the most. */
  | { readonly kind: "caught_up"; readonly cursor: string; readonly lagEvents: number }
  /** The watch reads the server's log until it is live again. */
  | { readonly kind: "fell_behind"; readonly cursor: string; readonly lagEvents: number }
  /**
   * The server's log can't be used since then (milliseconds since the epoch). The connection stays, and `caught_up` says that
   * the log is back; where that takes too long, the server ends the watch, which comes back by itself.
   */
  | { readonly kind: "log_unavailable"; readonly cursor: string; readonly sinceMs: number; readonly message: string }
  /**
   * Events are gone, and `onExpired: "continue_with_gap"` skipped them. `fromCursor` is empty where the log does not have the
   * position: it is of another generation, or was lost by a restore; then nothing is known of how many are gone, and
   * `lostEvents` is 0. Else `lostEvents` counts them, exactly or (`lostExact` false) at the most.
   */
  | {
      readonly kind: "gap";
      readonly fromCursor: string;
      readonly toCursor: string;
      readonly lostEvents: number;
      readonly lostExact: boolean;
      readonly message: string;
    }
  /** Nothing was wanted for a while; the position moved. `serverTimeMs`: milliseconds since the epoch. */
  | {
      readonly kind: "bookmark";
      readonly cursor: string;
      readonly serverTimeMs: number;
      readonly lagEvents: number;
    }
  /** The connection is gone or could not be made; the next try begins in `delayMs`. `attempt`: failures in a row. */
  | {
      readonly kind: "reconnecting";
      readonly attempt: number;
      readonly delayMs: number;
      readonly error: TailraceError;
    }
  /** `verifyWorkerSequence` found that events of a worker are missing: a fault of the server, please report it. */
  | {
      readonly kind: "sequence_hole";
      readonly workerId: string;
      readonly expected: bigint;
      readonly received: bigint;
    }
  /** The checkpoint could not be saved; it is tried again with the next position. */
  | { readonly kind: "checkpoint_failed"; readonly error: unknown }
  /** The scope ended for good. */
  | { readonly kind: "ended"; readonly outcome: StreamOutcome; readonly cursor: string };
