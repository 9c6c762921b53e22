import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CursorUnknownCause,
  type LagSchema,
  Severity,
  type StreamDiagnostic,
  StreamDiagnosticSchema,
  type StreamEndedSchema,
} from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { JobState } from "../../gen/tailrace/v1/payloads_pb.ts";
import type { JobOutcome, ProblemDetails, TailraceError } from "../base/errors.ts";

type ReasonInit = NonNullable<MessageInitShape<typeof StreamDiagnosticSchema>["reason"]>;
type WireReason = Exclude<keyof ProblemDetails, "log_open_failed" | "connection_failed" | "part_missing">;

const unknownCauses = {
  other_generation: CursorUnknownCause.OTHER_GENERATION,
  other_runtime: CursorUnknownCause.OTHER_RUNTIME,
  other_history: CursorUnknownCause.OTHER_HISTORY,
  beyond_head: CursorUnknownCause.BEYOND_HEAD,
} as const;

const jobStates: Readonly<Record<JobOutcome, JobState>> = {
  succeeded: JobState.SUCCEEDED,
  failed: JobState.FAILED,
  cancelled: JobState.CANCELLED,
  timed_out: JobState.TIMED_OUT,
};

const reasons: { [R in WireReason]: (details: ProblemDetails[R]) => ReasonInit } = {
  invalid_request: (d) => ({ case: "invalidRequest", value: { field: d.field, description: d.description } }),
  cursor_malformed: (d) => ({ case: "cursorMalformed", value: { description: d.description } }),
  cursor_unknown: (d) => ({ case: "cursorUnknown", value: { cause: unknownCauses[d.cause] } }),
  cursor_expired: (d) => ({
    case: "cursorExpired",
    value: {
      requestedCursor: d.requestedCursor,
      earliestCursor: d.earliestCursor,
      latestCursor: d.latestCursor,
      lostEvents: BigInt(d.lostEvents),
      lostExact: d.lostExact,
    },
  }),
  worker_not_found: (d) => ({ case: "workerNotFound", value: { workerId: d.workerId } }),
  job_not_found: (d) => ({ case: "jobNotFound", value: { jobId: d.jobId } }),
  log_unavailable: (d) => ({
    case: "logUnavailable",
    value: { since: timestampFromMs(d.sinceMs), retryAfter: durationFromMs(d.retryAfterMs) },
  }),
  server_closing: (d) => ({ case: "serverClosing", value: { retryAfter: durationFromMs(d.retryAfterMs) } }),
  access_expired: () => ({ case: "accessExpired", value: {} }),
  access_denied: (d) => ({ case: "accessDenied", value: { grant: d.grant } }),
  limit_exceeded: (d) => ({
    case: "limitExceeded",
    value: {
      limit: d.limit,
      maximum: BigInt(d.maximum),
      ...(d.retryAfterMs === undefined ? {} : { retryAfter: durationFromMs(d.retryAfterMs) }),
    },
  }),
  job_ended: (d) => ({ case: "jobEnded", value: { jobId: d.jobId, state: jobStates[d.state] } }),
  producer_conflict: (d) => ({
    case: "producerConflict",
    value: { expectedProducerSequence: BigInt(d.expectedProducerSequence), description: d.description },
  }),
  producer_unknown: (d) => ({ case: "producerUnknown", value: { producerId: d.producerId } }),
  internal: (d) => ({ case: "internal", value: { incidentId: d.incidentId } }),
};

/** The terminal diagnostic of an error: the one mapping from errors to the wire, for every edge. */
export function diagnosticOf(error: TailraceError, cursor = error.cursor ?? ""): StreamDiagnostic {
  // A log that can't be opened, or a runtime that a relay can't reach, is the operator's matter: a client hears only
  // that the log can't be used.
  const local =
    error.reason === "log_open_failed" || error.reason === "connection_failed" || error.reason === "part_missing";
  const [reason, details] = local
    ? (["log_unavailable", { sinceMs: 0, retryAfterMs: 0 }] as const)
    : ([error.reason, error.details] as const);
  const toInit = reasons[reason] as (details: unknown) => ReasonInit;
  return create(StreamDiagnosticSchema, {
    severity: Severity.TERMINAL,
    message: local ? "The log can't be used." : error.message,
    cursor,
    reason: toInit(details),
  });
}

/** A notice: the stream goes on. */
export function notice(reason: ReasonInit, message: string, cursor: string): StreamDiagnostic {
  return create(StreamDiagnosticSchema, { severity: Severity.NOTICE, message, cursor, reason });
}

/** The end of a scope. Not an error: the stream ends with code ok. */
export function streamEnded(
  end: MessageInitShape<typeof StreamEndedSchema>,
  message: string,
  cursor: string,
): StreamDiagnostic {
  return create(StreamDiagnosticSchema, {
    severity: Severity.TERMINAL,
    message,
    cursor,
    reason: { case: "streamEnded", value: end },
  });
}

/** How far behind, as a message. */
export function lagOf(events: number): MessageInitShape<typeof LagSchema> {
  return { events: BigInt(Math.max(0, Math.round(events))) };
}
