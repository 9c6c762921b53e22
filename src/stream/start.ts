import { TailraceError } from "../base/errors.ts";
import { type CursorCodec, type DecodedCursor, type Position, unknown } from "../events/cursor.ts";
import type { EventLog, Scope, ScopeBounds } from "../log/contract.ts";
import type { TerminalDiagnostic } from "./form.ts";
import { countIn, gapNotice, skipLost } from "./loss.ts";
import { notFound } from "./not-found.ts";
import type { WatchSpec } from "./spec.ts";

/** Where a reader begins, and what it must be told first. */
export interface ResolvedStart {
  readonly position: Position;
  /** A `gap` notice; undefined: nothing was skipped. */
  readonly gap: TerminalDiagnostic | undefined;
}

type StartSpec = Pick<WatchSpec, "scope" | "kinds" | "start" | "continueWithGap" | "waitIfMissing">;

/**
 * Finds where a reader begins.
 * @throws TailraceError `worker_not_found`, `job_not_found`, `cursor_unknown`, `cursor_expired`, `log_unavailable`.
 */
export async function resolveStart(log: EventLog, cursors: CursorCodec, spec: StartSpec): Promise<ResolvedStart> {
  const { scope, start } = spec;
  const missing = spec.waitIfMissing ? undefined : await missingNow(log, scope);
  if (missing !== undefined) throw withCursor(missing, cursors.encode(log.bounds({ kind: "runtime" }).head, true));
  if (start.kind !== "cursor") return { position: await log.seek(scope, start), gap: undefined };

  const stranger = start.otherGeneration ? "other_generation" : await strangerCause(log, scope, start);
  const bounds = log.bounds(scope);
  if (stranger !== undefined) {
    if (!spec.continueWithGap) throw withCursor(unknown(stranger), cursors.encode(bounds.head, true));
    return { position: bounds.floor, gap: gapNotice(cursors, "", bounds, { events: 0, exact: false }) };
  }
  if (start.position.sequence >= bounds.floor.sequence) {
    return { position: inScope(scope, start.position, bounds), gap: undefined };
  }
  const skip = skipLost(log, cursors, spec, start.position, start.cursor);
  if (skip instanceof TailraceError) throw skip;
  return skip;
}

/**
 * Settles when the log has come as far as a position out of a cursor, which another server may have given out.
 * @throws TailraceError `cursor_unknown` if the log has no such position, `log_unavailable` if this server stays behind it.
 */
export async function requirePosition(
  log: EventLog,
  cursors: CursorCodec,
  scope: Scope,
  at: Pick<DecodedCursor, "position" | "epoch">,
): Promise<void> {
  const stranger = await strangerCause(log, scope, at);
  if (stranger !== undefined) throw withCursor(unknown(stranger), cursors.encode(log.bounds(scope).head, true));
}

/**
 * Why a log does not have a position out of a cursor; undefined: it does. An epoch may have begun at another server, so what there
 * is at a sequence is known only once this one has come as far.
 */
async function strangerCause(
  log: EventLog,
  scope: Scope,
  { position: { sequence }, epoch }: Pick<DecodedCursor, "position" | "epoch">,
): Promise<"beyond_head" | "other_history" | undefined> {
  if (sequence > log.bounds(scope).head.sequence && !(await log.reach(sequence))) {
    return log.epochs.knows(epoch) ? "beyond_head" : "other_history";
  }
  return log.epochs.has(sequence, epoch) ? undefined : "other_history";
}

/** What is missing, also in what other servers have committed by now: one of them may just have told the reader of it. */
async function missingNow(log: EventLog, scope: Scope): Promise<TailraceError | undefined> {
  const missing = notFound(log, scope);
  if (missing === undefined || !log.isShared) return missing;
  await log.reach(Number.MAX_SAFE_INTEGER);
  return notFound(log, scope);
}

/**
 * A cursor that was taken in another scope does not count the events of this one. Its counts are kept only where they
 * are of this scope; at the very floor or head the scope's own counts are known, and better.
 */
function inScope(scope: Scope, position: Position, bounds: ScopeBounds): Position {
  if (countIn(scope, position) !== undefined) return position;
  if (position.sequence === bounds.head.sequence) return bounds.head;
  if (position.sequence === bounds.floor.sequence) return bounds.floor;
  return position;
}

function withCursor(error: TailraceError, cursor: string): TailraceError {
  return new TailraceError(error.reason, error.details, error.message, { cursor });
}
