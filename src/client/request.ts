import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
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
import type { WatchOptions, WatchStartOptions } from "./options.ts";

const starts = ["cursor", "startAt", "since", "last"] as const satisfies readonly (keyof WatchStartOptions)[];

/**
 * The request that begins a watch. Checks what the types can't; what depends on the server, the server checks.
 * @throws TailraceError `invalid_request`.
 */
export function watchRequest(options: WatchOptions): WatchEventsRequest {
  const given = starts.filter((name) => options[name] !== undefined);
  if (given.length > 1) throw invalidRequest(given[1] as string, `not together with ${given[0]}: a watch begins once`);
  if (options.workerIds?.length && options.jobId !== undefined) {
    throw invalidRequest("jobId", "not together with workerIds");
  }
  if (options.verifyWorkerSequence && options.kinds?.length) {
    throw invalidRequest("verifyWorkerSequence", "not together with kinds: what is filtered out leaves holes");
  }
  if (options.verifyWorkerSequence && options.jobId !== undefined) {
    throw invalidRequest("verifyWorkerSequence", "not together with jobId: other events of a worker leave holes");
  }
  const { heartbeatMs } = options;
  return create(WatchEventsRequestSchema, {
    workerIds: [...(options.workerIds ?? [])],
    jobId: options.jobId ?? "",
    start: startOf(options),
    kinds: (options.kinds ?? []).map(kindOf),
    onExpired: options.onExpired === "continue_with_gap" ? OnExpired.CONTINUE_WITH_GAP : OnExpired.FAIL,
    ifMissing: options.ifMissing === "wait" ? IfMissing.WAIT : IfMissing.FAIL,
    ...(heartbeatMs === undefined
      ? {}
      : { heartbeatInterval: durationFromMs(Math.round(positive("heartbeatMs", heartbeatMs))) }),
  });
}

/** The same watch after a position. */
export function resumeRequest(request: WatchEventsRequest, cursor: string): WatchEventsRequest {
  return { ...request, start: { case: "cursor", value: cursor } };
}

function startOf(options: WatchStartOptions): WatchEventsRequest["start"] {
  const { cursor, startAt, since, last } = options;
  if (cursor !== undefined) {
    if (cursor === "") throw invalidRequest("cursor", "it is empty; leave it out to begin without one");
    return { case: "cursor", value: cursor };
  }
  if (since !== undefined) {
    const timeMs = typeof since === "number" ? since : since.getTime();
    if (!Number.isFinite(timeMs)) throw invalidRequest("since", "it is no valid time");
    return { case: "since", value: timestampFromMs(Math.floor(timeMs)) };
  }
  if (last !== undefined) {
    if (!Number.isInteger(last) || last < 1 || last > limits.maxLast) {
      throw invalidRequest("last", `${last} is no number of events from 1 to ${limits.maxLast}`);
    }
    return { case: "last", value: last };
  }
  return { case: "startAt", value: startAt === "latest" ? StartAt.LATEST : StartAt.EARLIEST };
}

function kindOf(kind: string | EventKind, index: number): EventKind {
  if (typeof kind !== "string") return kind;
  const known = kindOfName(kind);
  if (known === undefined)
    throw invalidRequest(`kinds[${index}]`, `"${kind}" is no kind of event that this release knows`);
  return known;
}

/** The number itself. @throws TailraceError `invalid_request` unless it is a finite number above zero. */
export function positive(name: string, value: number): number {
  if (!(value > 0) || !Number.isFinite(value)) throw invalidRequest(name, `${value} is not above zero`);
  return value;
}
