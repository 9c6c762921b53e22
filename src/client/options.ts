import type { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import type { Backoff } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { ServerOptions } from "./connection.ts";
import type { WatchStatus } from "./status.ts";

/** What to watch. */
export interface WatchScope {
  /** Workers to watch, at most 256. Default, with `jobId` unset too: the whole runtime. */
  readonly workerIds?: readonly string[];
  /** Job to watch. Not together with `workerIds`. */
  readonly jobId?: string;
  /** Kinds of events: names ("output") or numbers. Default: all. */
  readonly kinds?: readonly (string | EventKind)[];
}

/** Where to begin; at most one of them. Default: everything that the server still has. */
export interface WatchStartOptions {
  /** After this position. */
  readonly cursor?: string;
  /** At the oldest event that is retained, or with what is new. */
  readonly startAt?: "earliest" | "latest";
  /** At the first event of this time or later; a number is milliseconds since the epoch. */
  readonly since?: Date | number;
  /** At the last this many events, 1 to 10,000. */
  readonly last?: number;
}

export interface WatchOptions extends ServerOptions, WatchScope, WatchStartOptions {
  /** What to do when the position is no longer retained: stop with `cursor_expired` (default), or skip and say `gap`. */
  readonly onExpired?: "fail" | "continue_with_gap";
  /** What to do when the worker or job does not exist: stop (default), or wait until it does. */
  readonly ifMissing?: "fail" | "wait";
  /** Silence in milliseconds after which the server sends a bookmark, 1,000 to 60,000. Default: 15,000. */
  readonly heartbeatMs?: number;
  /** Where the position is kept between processes. What it holds goes before the start given here. */
  readonly checkpoint?: Checkpoint;
  /** Milliseconds between two saves of the checkpoint, at the least. Default: 1,000. It is always saved at the end. */
  readonly checkpointIntervalMs?: number;
  /** Aborting ends the iteration without an error. */
  readonly signal?: AbortSignal;
  /** Hears what happens apart from events. What it throws ends the watch. */
  readonly onStatus?: (status: WatchStatus) => void;
  /**
   * How to wait before reconnecting. Default: 250 ms, doubling to 30 s, full jitter. `maxAttempts`: failures in a row after
   * which the watch stops with their error; default: it never gives up. `random` gives numbers in [0, 1).
   */
  readonly backoff?: Partial<Backoff> & { readonly maxAttempts?: number; readonly random?: () => number };
  /** Milliseconds that the server has for its first frame. Default: 15,000. */
  readonly connectTimeoutMs?: number;
  /** Checks that the numbers of every worker have no hole, and reports `sequence_hole`. Not with `kinds` or `jobId`. Default: false. */
  readonly verifyWorkerSequence?: boolean;
  /** Time, for tests. */
  readonly clock?: Clock;
}
