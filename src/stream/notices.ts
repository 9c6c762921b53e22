import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Severity } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { BookmarkSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import type { TailraceError } from "../base/errors.ts";
import type { Position } from "../events/cursor.ts";
import { diagnosticOf, lagOf, notice } from "../events/diagnostics.ts";
import type { ControlFrame } from "./form.ts";
import type { Surroundings } from "./surroundings.ts";

/** A frame that says where a watch is, with the cursor of its position: a reader comes back to there. */
export type NoticeAt = (around: Surroundings, position: Position) => ControlFrame;

/** The watch is still there, and nothing up to here is wanted. */
export const bookmark: NoticeAt = ({ cursors, clock, flushedHead }, position) => ({
  case: "bookmark",
  value: create(BookmarkSchema, {
    cursor: cursors.encode(position),
    serverTime: timestampFromMs(clock.now()),
    lagEvents: BigInt(Math.max(0, flushedHead().ordinal - position.ordinal)),
  }),
});

export const caughtUp: NoticeAt = ({ cursors }, position) => ({
  case: "diagnostic",
  value: notice({ case: "caughtUp", value: { lag: lagOf(0) } }, "The watch is live.", cursors.encode(position)),
});

export const fellBehind: NoticeAt = ({ cursors, flushedHead }, position) => ({
  case: "diagnostic",
  value: notice(
    { case: "fellBehind", value: { lag: lagOf(flushedHead().ordinal - position.ordinal) } },
    "The watch reads the log until it has caught up.",
    cursors.encode(position),
  ),
});

/** The log can't be used, and the watch goes on once it can. */
export function logAway(error: TailraceError): NoticeAt {
  return ({ cursors }, position) => ({
    case: "diagnostic",
    value: { ...diagnosticOf(error, cursors.encode(position)), severity: Severity.NOTICE },
  });
}
