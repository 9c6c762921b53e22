import { TailraceError } from "../base/errors.ts";
import { type CursorCodec, hashId, type Position } from "../events/cursor.ts";
import { notice } from "../events/diagnostics.ts";
import type { EventLog, KindFilter, Scope, ScopeBounds } from "../log/contract.ts";
import type { TerminalDiagnostic } from "./form.ts";
import { notFound } from "./not-found.ts";
import type { WatchSpec } from "./spec.ts";

/** How many events of a scope a reader lost. */
export interface Loss {
  readonly events: number;
  /** Whether `events` is exact; else it is an upper bound. */
  readonly exact: boolean;
}

/** How a reader goes on after what it lost. */
export interface Skip {
  readonly position: Position;
  readonly gap: TerminalDiagnostic;
}

/**
 * What follows for a reader whose position `from` lies below the floor of its scope: it goes on there if it asked to continue
 * with a gap, else the error. `cursor`: what it gave for its position.
 */
export function skipLost(
  log: EventLog,
  cursors: CursorCodec,
  { scope, kinds, continueWithGap }: Pick<WatchSpec, "scope" | "kinds" | "continueWithGap">,
  from: Position,
  cursor: string = cursors.encode(from),
): Skip | TailraceError<"cursor_expired"> {
  const bounds = log.bounds(scope);
  const loss = lossBetween(log, scope, kinds, from, bounds.floor);
  if (!continueWithGap) return cursorExpired(cursors, bounds, loss, from, cursor);
  return { position: bounds.floor, gap: gapNotice(cursors, cursor, bounds, loss) };
}

/**
 * What a reader at `from` lost when the scope begins at `floor` now (docs/protocol.md, "Loss"). Exact where the cursor
 * counts in the scope that it resumes and all kinds are wanted; else the best upper bound that the counts give.
 */
function lossBetween(log: EventLog, scope: Scope, kinds: KindFilter, from: Position, floor: Position): Loss {
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

function cursorExpired(
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

/** The notice that events were skipped, as the reader allowed. `fromCursor` is empty for a position that the log does not have. */
export function gapNotice(
  cursors: CursorCodec,
  fromCursor: string,
  bounds: ScopeBounds,
  loss: Loss,
): TerminalDiagnostic {
  const to = cursors.encode(bounds.floor);
  return notice(
    {
      case: "gap",
      value: {
        fromCursor,
        toCursor: to,
        earliestCursor: to,
        latestCursor: cursors.encode(bounds.head),
        lostEvents: BigInt(loss.events),
        lostExact: loss.exact,
      },
    },
    fromCursor === ""
      ? "The log does not have the position of this cursor, so how many events are missing is not known; the stream goes on with what is there."
      : "Events were removed by retention before they could be read; the stream goes on after them.",
    to,
  );
}
