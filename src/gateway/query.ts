import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import {
  IfMissing,
  OnExpired,
  StartAt,
  type WatchEventsRequest,
  WatchEventsRequestSchema,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { invalidRequest } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { kindOfName } from "../events/kinds.ts";
import { type Parameter, runtimeWatchParameters } from "./parameters.ts";
import { parseDuration, parseSince } from "./time-values.ts";

/** What a watch observes, as the path says it. */
export interface PathScope {
  readonly workerId?: string;
  readonly jobId?: string;
}

export interface WatchQuery {
  /** The query as it came, without its "?". */
  readonly query: string;
  readonly scope: PathScope;
  /** The header `Last-Event-ID`; empty: none. It beats every start in the query, which a reconnecting EventSource repeats. */
  readonly lastEventId: string;
  /** By the time of events, in milliseconds since the epoch. */
  readonly nowMs: number;
  /** What the query may have. Default: everything that a watch has. */
  readonly parameters?: readonly Parameter[] | undefined;
}

type Start = NonNullable<MessageInitShape<typeof WatchEventsRequestSchema>["start"]>;

const startAt = new Map([
  ["earliest", StartAt.EARLIEST],
  ["latest", StartAt.LATEST],
]);
const onExpired = new Map([
  ["fail", OnExpired.FAIL],
  ["continue_with_gap", OnExpired.CONTINUE_WITH_GAP],
]);
const ifMissing = new Map([
  ["fail", IfMissing.FAIL],
  ["wait", IfMissing.WAIT],
]);

const starts = ["cursor", "start_at", "since", "last"];

/**
 * Reads the query of a watch. What the values mean is checked where every edge's requests are.
 * @throws TailraceError `invalid_request` naming the parameter.
 */
export function parseWatchQuery(options: WatchQuery): WatchEventsRequest {
  const { query, scope, lastEventId, nowMs, parameters = runtimeWatchParameters } = options;
  const values = readParameters(query, parameters);
  const workerIds = list(values, "worker_ids", limits.maxWatchedWorkers);
  if (workerIds !== undefined && (scope.workerId !== undefined || scope.jobId !== undefined)) {
    throw invalidRequest("worker_ids", "the path names what to watch already; use /v1/events to name workers here");
  }
  const request = create(WatchEventsRequestSchema, {
    workerIds: scope.workerId === undefined ? (workerIds ?? []) : [scope.workerId],
    jobId: scope.jobId ?? "",
    kinds: kindsOf(list(values, "kinds", limits.maxWatchedKinds)),
    onExpired: choice(values, "on_expired", onExpired) ?? OnExpired.UNSPECIFIED,
    ifMissing: choice(values, "if_missing", ifMissing) ?? IfMissing.UNSPECIFIED,
  });
  const heartbeat = values.get("heartbeat");
  if (heartbeat !== undefined) {
    const heartbeatMs = parseDuration(heartbeat);
    if (heartbeatMs === undefined) throw invalidRequest("heartbeat", "must be a duration such as 15s or 1m");
    request.heartbeatInterval = durationFromMs(heartbeatMs);
  }
  const start = startOf(values, nowMs, lastEventId !== "");
  if (lastEventId !== "") request.start = { case: "cursor", value: lastEventId };
  else if (start !== undefined) request.start = start as WatchEventsRequest["start"];
  return request;
}

/**
 * The parameters of a query.
 * @throws TailraceError `invalid_request` for a parameter that is not among `known`, or is given twice.
 */
export function readParameters(query: string, known: readonly Parameter[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!known.some((parameter) => parameter.name === name)) {
      const names = known.map((parameter) => parameter.name).join(", ");
      throw invalidRequest(name.slice(0, 64), `is not a parameter of this route; it has ${names || "none"}`);
    }
    if (values.has(name)) throw invalidRequest(name, "is given twice; give it once, lists separated by commas");
    values.set(name, value);
  }
  return values;
}

/** A whole number of at most 32 bits; 0 where there is none. @throws TailraceError `invalid_request`. */
export function wholeNumber(values: ReadonlyMap<string, string>, name: string): number {
  const text = values.get(name) ?? "0";
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 0xffff_ffff)) throw invalidRequest(name, "must be a whole number");
  return value;
}

/** `overruled`: the header says where to begin, so it does not matter how many starts there are. */
function startOf(values: Map<string, string>, nowMs: number, overruled: boolean): Start | undefined {
  const given = starts.filter((name) => values.has(name));
  if (given.length > 1 && !overruled)
    throw invalidRequest(given.join(", "), "a watch has one start: give only one of them");
  const at = choice(values, "start_at", startAt);
  if (at !== undefined) return { case: "startAt", value: at };
  const cursor = values.get("cursor");
  if (cursor !== undefined) return { case: "cursor", value: cursor };
  if (values.has("last")) return { case: "last", value: wholeNumber(values, "last") };
  const since = values.get("since");
  if (since === undefined) return undefined;
  const time = parseSince(since, nowMs);
  if (time === undefined) {
    throw invalidRequest("since", "must be a time such as 2026-01-31T12:00:00Z (RFC 3339) or an age such as 5m");
  }
  return { case: "since", value: time };
}

/** "true" or "false"; false where there is none. @throws TailraceError `invalid_request`. */
export function flag(values: ReadonlyMap<string, string>, name: string): boolean {
  return choice(values, name, flags) ?? false;
}

const flags = new Map([
  ["true", true],
  ["false", false],
]);

function choice<T>(values: ReadonlyMap<string, string>, name: string, choices: ReadonlyMap<string, T>): T | undefined {
  const value = values.get(name);
  if (value === undefined) return undefined;
  const chosen = choices.get(value);
  if (chosen === undefined) throw invalidRequest(name, `must be ${[...choices.keys()].join(" or ")}`);
  return chosen;
}

/**
 * Values separated by commas; undefined where there is no such parameter.
 * @throws TailraceError `invalid_request` for more than `maximum`, or an empty one.
 */
export function list(values: ReadonlyMap<string, string>, name: string, maximum: number): string[] | undefined {
  const value = values.get(name);
  if (value === undefined) return undefined;
  const items = value.split(",", maximum + 1);
  if (items.length > maximum) throw invalidRequest(name, `must have at most ${maximum} values`);
  const empty = items.indexOf("");
  // An empty list means "everything" on the wire, which is the opposite of what an empty text asks for.
  if (empty !== -1) throw invalidRequest(`${name}[${empty}]`, "must not be empty");
  return items;
}

function kindsOf(names: string[] | undefined): EventKind[] {
  return (names ?? []).map((name, index) => {
    const kind = kindOfName(name);
    if (kind === undefined) {
      throw invalidRequest(
        `kinds[${index}]`,
        "is not a kind that this release knows; kinds are written in lower case, as in kinds=output,narration",
      );
    }
    return kind;
  });
}
