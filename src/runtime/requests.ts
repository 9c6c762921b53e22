import type { ListEventsRequest, WatchEventsRequest } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { IfMissing, OnExpired, StartAt } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { hasReason, invalidRequest, TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { type CursorCodec, type DecodedCursor, decodeCursor, hashId, origin, type Position } from "../events/cursor.ts";
import { isKnownKind } from "../events/kinds.ts";
import type { KindFilter, Scope } from "../log/contract.ts";
import type { WatchSpec, WatchStart } from "../stream/spec.ts";

/** What reading a request needs. */
export interface RequestContext {
  readonly cursors: CursorCodec;
  /** Position of the head: errors carry it as a closing cursor, so that a reader that can't read a status stops. */
  readonly head: Position;
}

/**
 * Validates a request to watch. The only place where it is decided what is a good one, for every edge.
 * @throws TailraceError `invalid_request`, `cursor_malformed`, `cursor_unknown`.
 */
export function watchSpec(request: WatchEventsRequest, context: RequestContext): WatchSpec {
  return stoppable(context, () => ({
    ...common(request, context),
    waitIfMissing: ifMissing(request.ifMissing),
    heartbeatMs: heartbeatMs(request.heartbeatInterval),
  }));
}

/** A request for a page of events. */
export interface ListSpec {
  readonly scope: Scope;
  readonly kinds: KindFilter;
  readonly start: WatchStart;
  readonly continueWithGap: boolean;
  readonly waitIfMissing: false;
  /** Position after which nothing is given; undefined: up to the head. */
  readonly until: Pick<DecodedCursor, "position" | "epoch"> | undefined;
  readonly pageSize: number;
}

/** Validates a request for a page of events. @throws as `watchSpec`. */
export function listSpec(request: ListEventsRequest, context: RequestContext): ListSpec {
  return {
    ...common(request, context),
    waitIfMissing: false,
    until: request.untilCursor === "" ? undefined : context.cursors.decode(request.untilCursor),
    pageSize: pageSize(request.pageSize, limits.defaultPageEvents, limits.maxPageEvents),
  };
}

/** How many entries a page has. Zero: `fallback`. */
export function pageSize(asked: number, fallback: number, maximum: number): number {
  if (asked > maximum) throw invalidRequest("page_size", `it is at most ${maximum}`);
  return asked === 0 ? fallback : asked;
}

/** An id that must be there, be well-formed Unicode, and not be too long. */
export function checkId(id: string, field: string): string {
  if (id === "") throw invalidRequest(field, "it is empty");
  if (!id.isWellFormed()) throw invalidRequest(field, "it is no well-formed text");
  if (new TextEncoder().encode(id).length > limits.maxIdBytes) {
    throw invalidRequest(field, `an id has at most ${limits.maxIdBytes} bytes`);
  }
  return id;
}

function common(request: WatchEventsRequest | ListEventsRequest, context: RequestContext) {
  const kinds = kindsOf(request.kinds);
  const continueWithGap = onExpired(request.onExpired);
  return {
    scope: scopeOf(request),
    kinds,
    start: startOf(request.start, kinds, context.cursors, continueWithGap),
    continueWithGap,
  };
}

function scopeOf(request: Pick<WatchEventsRequest, "workerIds" | "jobId">): Scope {
  const { workerIds, jobId } = request;
  if (jobId !== "") {
    if (workerIds.length > 0) throw invalidRequest("job_id", "it can't be combined with worker_ids");
    return { kind: "job", jobId: checkId(jobId, "job_id") };
  }
  if (workerIds.length === 0) return { kind: "runtime" };
  if (workerIds.length > limits.maxWatchedWorkers) {
    throw invalidRequest("worker_ids", `a watch names at most ${limits.maxWatchedWorkers} workers`);
  }
  workerIds.forEach((id, index) => {
    checkId(id, `worker_ids[${index}]`);
  });
  return { kind: "workers", workerIds: [...new Set(workerIds)] };
}

function kindsOf(kinds: readonly number[]): KindFilter {
  if (kinds.length === 0) return undefined;
  if (kinds.length > limits.maxWatchedKinds) {
    throw invalidRequest("kinds", `a watch names at most ${limits.maxWatchedKinds} kinds`);
  }
  kinds.forEach((kind, index) => {
    if (!isKnownKind(kind)) throw invalidRequest(`kinds[${index}]`, `${kind} is no kind that this release knows`);
  });
  return new Set(kinds);
}

function startOf(
  start: WatchEventsRequest["start"],
  kinds: KindFilter,
  cursors: CursorCodec,
  gapAllowed: boolean,
): WatchStart {
  switch (start.case) {
    case undefined:
      return { kind: "earliest" };
    case "startAt":
      if (start.value === StartAt.LATEST) return { kind: "latest" };
      if (start.value === StartAt.EARLIEST || start.value === StartAt.UNSPECIFIED) return { kind: "earliest" };
      throw invalidRequest("start_at", `${start.value} is neither START_AT_EARLIEST nor START_AT_LATEST`);
    case "since": {
      const timeMs = Number(start.value.seconds) * 1000 + Math.ceil(start.value.nanos / 1_000_000);
      if (!Number.isSafeInteger(timeMs)) throw invalidRequest("since", "the time is out of range");
      return { kind: "time", timeMs };
    }
    case "last":
      if (start.value < 1 || start.value > limits.maxLast) {
        throw invalidRequest("last", `it is from 1 to ${limits.maxLast}`);
      }
      return { kind: "last", count: start.value, kinds };
    case "cursor":
      return cursorStart(start.value, cursors, gapAllowed);
  }
}

/** Where a watch from a cursor begins. @throws TailraceError `cursor_malformed`, `cursor_unknown`. */
export function cursorStart(cursor: string, cursors: CursorCodec, gapAllowed: boolean): WatchStart {
  try {
    const { position, epoch, closing } = cursors.decode(cursor);
    return { kind: "cursor", cursor, position, epoch, closing, otherGeneration: false };
  } catch (error) {
    const decoded = gapAllowed && hasReason(error, "cursor_unknown") ? decodeCursor(cursor) : undefined;
    // A gap covers another generation of the same runtime, never another runtime.
    if (decoded?.runtimeHash !== hashId(cursors.runtimeId)) throw error;
    const { epoch, closing } = decoded;
    return { kind: "cursor", cursor, position: origin, epoch, closing, otherGeneration: true };
  }
}

function onExpired(value: OnExpired): boolean {
  if (value === OnExpired.UNSPECIFIED || value === OnExpired.FAIL) return false;
  if (value === OnExpired.CONTINUE_WITH_GAP) return true;
  throw invalidRequest("on_expired", `${value} is neither ON_EXPIRED_FAIL nor ON_EXPIRED_CONTINUE_WITH_GAP`);
}

function ifMissing(value: IfMissing): boolean {
  if (value === IfMissing.UNSPECIFIED || value === IfMissing.FAIL) return false;
  if (value === IfMissing.WAIT) return true;
  throw invalidRequest("if_missing", `${value} is neither IF_MISSING_FAIL nor IF_MISSING_WAIT`);
}

function heartbeatMs(interval: WatchEventsRequest["heartbeatInterval"]): number {
  if (interval === undefined) return limits.defaultHeartbeatMs;
  const ms = Number(interval.seconds) * 1000 + interval.nanos / 1_000_000;
  if (!(ms >= 0)) throw invalidRequest("heartbeat_interval", "it is not negative");
  return Math.min(limits.maxHeartbeatMs, Math.max(limits.minHeartbeatMs, ms));
}

/** Gives errors a closing cursor, for readers that must be stopped in-stream. */
function stoppable<T>(context: RequestContext, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof TailraceError) || error.cursor !== undefined) throw error;
    throw new TailraceError(error.reason, error.details, error.message, {
      cause: error.cause,
      cursor: context.cursors.encode(context.head, true),
    });
  }
}
