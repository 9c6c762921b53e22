import { TailraceError } from "../base/errors.ts";
import { type CursorCodec, hashId, type Position } from "../events/cursor.ts";
import type { EventLog, KindFilter, Scope, ScopeBounds } from "../log/contract.ts";
import { notFound } from "./not-found.ts";

/** How many events of a scope a reader lost. */
export interface Loss {
  readonly events: number;
  /** Whether `events` is exact; else it is an upper bound. */
  readonly exact: boolean;
}

/**
 * What a reader at `from` lost when the scope begins at `floor` now (docs/protocol.md, "Loss"). Exact where the cursor
 * counts in the scope that it resumes and all kinds are wanted; else the best upper bound that the counts give.
 */
export function lossBetween(log: EventLog, scope: Scope, kinds: KindFilter, from: Position, floor: Position): Loss {
  const all = kinds === undefined;
  const ofRuntime = Math.max(0, floor.ordinal - from.ordinal);
  if (scope.kind === "runtime") return { events: ofRuntime, exact: all };
  const removed = countIn(scope, floor);
  // Nobody counts the events of what was forgotten.
  if (removed === undefined || notFound(log, scope) !== undefined) return { events: ofRuntime, exact: false };
  const had = from.sequence === 0 ? 0 : countIn(scope, from);
  // A worker that was forgotten and came back counts from 1 again: the cursor's count says nothing then.
  if (had !== undefined && had <= removed) return { events: removed - had, exact: all };
  return { events: Math.min(ofRuntime, removed), exact: false };
}

/** How many events the only worker, or the job, of a scope had had at a position; undefined: it does not say. */
export function countIn(scope: Scope, position: Position): number | undefined {
  if (scope.kind === "job") return position.jobHash === hashId(scope.jobId) ? position.jobOrdinal : undefined;
  if (scope.kind !== "workers" || scope.workerIds.length !== 1) return undefined;
  return position.workerHash === hashId(scope.workerIds[0] as string) ? position.workerOrdinal : undefined;
}

/** The error of a reader whose position `from` lies below the floor of its scope. */
export function cursorExpired(
  cursors: CursorCodec,
  bounds: ScopeBounds,
  loss: Loss,
  from: Position,
  requestedCursor: string,
): TailraceError<"cursor_expired"> {
  const count = loss.exact ? `${loss.events}` : `at most ${loss.events}`;
  return new TailraceError(
    "cursor_expired",
    {
      requestedCursor,
      earliestCursor: cursors.encode(bounds.floor),
      latestCursor: cursors.encode(bounds.head),
      lostEvents: loss.events,
      lostExact: loss.exact,
    },
    `The log no longer holds what follows this cursor: ${count} events are gone. Start at the earliest cursor, or ask to continue with a gap.`,
    { cursor: cursors.encode(from, true) },
  );
}
