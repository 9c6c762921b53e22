import type { Position } from "../events/cursor.ts";
import type { KindFilter, Scope, Seek } from "../log/contract.ts";

/** What a watch wants: a request that was validated. */
export interface WatchSpec {
  readonly scope: Scope;
  readonly kinds: KindFilter;
  readonly start: WatchStart;
  /** Whether a start below the floor becomes a `gap` notice instead of the end. */
  readonly continueWithGap: boolean;
  /** Whether the watch may come before its workers. */
  readonly waitIfMissing: boolean;
  /** Silence, in milliseconds, after which a bookmark is sent. */
  readonly heartbeatMs: number;
}

/** Where a watch begins. */
export type WatchStart =
  | Seek
  /** A cursor of this runtime; `otherGeneration`: of an earlier generation of its log, where only a gap is known. */
  | {
      readonly kind: "cursor";
      readonly cursor: string;
      readonly position: Position;
      /** Tag of the epoch of the log in which the position lies. */
      readonly epoch: number;
      readonly closing: boolean;
      readonly otherGeneration: boolean;
    };
