import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { StreamDiagnostic } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { Bookmark, StreamOpened } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { limits } from "../base/limits.ts";
import type { WatchStatus } from "./status.ts";

/** The silence that the server promises not to exceed; its default where it does not say. */
export function heartbeatOf(opened: StreamOpened): number {
  const ms = opened.heartbeatInterval === undefined ? 0 : durationMs(opened.heartbeatInterval);
  return ms > 0 ? ms : limits.defaultHeartbeatMs;
}

export function openedStatus(opened: StreamOpened, resumed: boolean): WatchStatus {
  return {
    kind: "opened",
    runtimeId: opened.runtimeId,
    cursor: opened.cursor,
    earliestCursor: opened.earliestCursor,
    latestCursor: opened.latestCursor,
    heartbeatMs: heartbeatOf(opened),
    resumed,
  };
}

export function bookmarkStatus(bookmark: Bookmark): WatchStatus {
  return {
    kind: "bookmark",
    cursor: bookmark.cursor,
    serverTimeMs: bookmark.serverTime === undefined ? 0 : timestampMs(bookmark.serverTime),
    lagEvents: Number(bookmark.lagEvents),
  };
}

/** The status of a notice; undefined for a notice that this release does not know. */
export function noticeStatus(diagnostic: StreamDiagnostic): WatchStatus | undefined {
  const { reason, cursor, message } = diagnostic;
  switch (reason.case) {
    case "caughtUp":
      return { kind: "caught_up", cursor, lagEvents: Number(reason.value.lag?.events ?? 0n) };
    case "fellBehind":
      return { kind: "fell_behind", cursor, lagEvents: Number(reason.value.lag?.events ?? 0n) };
    case "logUnavailable": {
      const { since } = reason.value;
      return { kind: "log_unavailable", cursor, sinceMs: since === undefined ? 0 : timestampMs(since), message };
    }
    case "gap":
      return {
        kind: "gap",
        fromCursor: reason.value.fromCursor,
        toCursor: reason.value.toCursor,
        lostEvents: Number(reason.value.lostEvents),
        lostExact: reason.value.lostExact,
        message,
      };
    default:
      return undefined;
  }
}
