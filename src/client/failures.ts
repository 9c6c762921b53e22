import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  CursorUnknownCause,
  type StreamDiagnostic,
  StreamDiagnosticSchema,
} from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { JobState } from "../../gen/tailrace/v1/payloads_pb.ts";
import { hasReason, type JobOutcome, type ProblemDetails, type Reason, TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";

/** Something that ended a connection or a call and that is worth another try. */
export interface Failure {
  readonly error: TailraceError;
  /** Milliseconds that the server asked to wait. */
  readonly retryAfterMs?: number;
}

/** What to do about the end of a stream or call: try again, or stop with an error. */
export type Verdict = ({ readonly kind: "retry" } & Failure) | { readonly kind: "stop"; readonly error: TailraceError };

const unknownCauses: Readonly<Record<number, ProblemDetails["cursor_unknown"]["cause"]>> = {
  [CursorUnknownCause.OTHER_GENERATION]: "other_generation",
  [CursorUnknownCause.OTHER_RUNTIME]: "other_runtime",
  [CursorUnknownCause.OTHER_HISTORY]: "other_history",
  [CursorUnknownCause.BEYOND_HEAD]: "beyond_head",
};

const jobOutcomes: Readonly<Record<number, JobOutcome>> = {
  [JobState.SUCCEEDED]: "succeeded",
  [JobState.FAILED]: "failed",
  [JobState.CANCELLED]: "cancelled",
  [JobState.TIMED_OUT]: "timed_out",
};

/** The error that a diagnostic stands for; undefined for notices, for the end of a scope, and for reasons not known here. */
export function errorOfDiagnostic(diagnostic: StreamDiagnostic): TailraceError | undefined {
  const { reason } = diagnostic;
  const error = <R extends Reason>(name: R, details: ProblemDetails[R]) =>
    new TailraceError(name, details, diagnostic.message, {
      ...(diagnostic.cursor === "" ? {} : { cursor: diagnostic.cursor }),
    });
  switch (reason.case) {
    case "invalidRequest":
      return error("invalid_request", { field: reason.value.field, description: reason.value.description });
    case "cursorMalformed":
      return error("cursor_malformed", { description: reason.value.description });
    case "cursorUnknown":
      return error("cursor_unknown", { cause: unknownCauses[reason.value.cause] ?? "other_generation" });
    case "cursorExpired":
      return error("cursor_expired", {
        requestedCursor: reason.value.requestedCursor,
        earliestCursor: reason.value.earliestCursor,
        latestCursor: reason.value.latestCursor,
        lostEvents: Number(reason.value.lostEvents),
        lostExact: reason.value.lostExact,
      });
    case "workerNotFound":
      return error("worker_not_found", { workerId: reason.value.workerId });
    case "jobNotFound":
      return error("job_not_found", { jobId: reason.value.jobId });
    case "logUnavailable":
      return error("log_unavailable", {
        sinceMs: reason.value.since === undefined ? 0 : timestampMs(reason.value.since),
        retryAfterMs: waitMs(reason.value.retryAfter),
      });
    case "serverClosing":
      return error("server_closing", { retryAfterMs: waitMs(reason.value.retryAfter) });
    case "accessExpired":
      return error("access_expired", {});
    case "accessDenied":
      return error("access_denied", { grant: reason.value.grant });
    case "limitExceeded":
      return error("limit_exceeded", {
        limit: reason.value.limit,
        maximum: Number(reason.value.maximum),
        ...(reason.value.retryAfter === undefined ? {} : { retryAfterMs: waitMs(reason.value.retryAfter) }),
      });
    case "jobEnded":
      return error("job_ended", { jobId: reason.value.jobId, state: jobOutcomes[reason.value.state] ?? "failed" });
    case "producerConflict":
      return error("producer_conflict", {
        expectedProducerSequence: Number(reason.value.expectedProducerSequence),
        description: reason.value.description,
      });
    case "producerUnknown":
      return error("producer_unknown", { producerId: reason.value.producerId });
    case "internal":
      return error("internal", { incidentId: reason.value.incidentId });
    default:
      return undefined;
  }
}

/** Whether an error of the protocol is worth another try. */
export function verdictOf(error: TailraceError): Verdict {
  switch (error.reason) {
    case "server_closing":
    case "log_unavailable":
    case "limit_exceeded": {
      const { retryAfterMs } = error.details as { retryAfterMs?: number };
      // A limit without a time to come back at is one that waiting does not lift.
      if (retryAfterMs === undefined) return { kind: "stop", error };
      return { kind: "retry", error, retryAfterMs };
    }
    case "internal":
      return { kind: "retry", error };
    default:
      return { kind: "stop", error };
  }
}

/** Codes that say: this server will never answer this call, or not to this caller. */
const stopCodes: ReadonlySet<Code> = new Set([
  Code.Unimplemented,
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.NotFound,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.AlreadyExists,
]);

/**
 * What to do about anything that a transport threw. The diagnostic that a Tailrace server attaches decides. Without one
 * the error comes from something in between or from the connection itself: refused, reset, timed out, GOAWAY, a proxy's 502,
 * and a stream cut in the middle of a frame, which Connect reports as invalid_argument.
 */
export function verdictOfThrown(thrown: unknown): Verdict {
  if (thrown instanceof TailraceError) return verdictOf(thrown);
  const error = ConnectError.from(thrown);
  for (const diagnostic of error.findDetails(StreamDiagnosticSchema)) {
    const known = errorOfDiagnostic(diagnostic);
    if (known !== undefined) return verdictOf(known);
  }
  if (error.code === Code.Unauthenticated) {
    return { kind: "stop", error: new TailraceError("access_expired", {}, accessMessage, { cause: thrown }) };
  }
  if (error.code === Code.PermissionDenied) {
    return { kind: "stop", error: new TailraceError("access_denied", { grant: "" }, accessMessage, { cause: thrown }) };
  }
  const failed = connectionFailed(error.code, 1, error.rawMessage, thrown);
  return stopCodes.has(error.code) ? { kind: "stop", error: failed } : { kind: "retry", error: failed };
}

const accessMessage = "The server refuses the access. Check the token.";

/** What a server may serve at another address, in words that follow "The server". */
const elsewhere = {
  jobs: "serves no jobs at this address",
  publishing: "takes no events at this address",
} as const;

/** The same verdict; of a call that the server does not have at this address it says so. */
export function verdictOfCommand(thrown: unknown, service: keyof typeof elsewhere): Verdict {
  const verdict = verdictOfThrown(thrown);
  if (verdict.kind === "retry" || !isNotServed(verdict.error)) return verdict;
  const message = `The server ${elsewhere[service]}; give the one that it has for commands (--command-server, in programs commandUrl).`;
  return {
    kind: "stop",
    error: new TailraceError("connection_failed", verdict.error.details, message, { cause: thrown }),
  };
}

/** Whether something answered that does not have the call. */
export function isNotServed(error: unknown): error is TailraceError<"connection_failed"> {
  return hasReason(error, "connection_failed") && error.details.code === "unimplemented";
}

/** The error of a connection that could not be made or kept. */
export function connectionFailed(
  code: Code,
  attempts: number,
  message: string,
  cause?: unknown,
): TailraceError<"connection_failed"> {
  const name = codeNames[code] ?? "unknown";
  const advice =
    code === Code.Unimplemented
      ? "What answers there does not have this call: it is not a Tailrace server, or one that serves this at another address. Check the address."
      : `The server can't be reached, or the connection to it broke (${message}).`;
  return new TailraceError("connection_failed", { code: name, attempts }, advice, {
    ...(cause === undefined ? {} : { cause }),
  });
}

const codeNames: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(Code)
    .filter(([, value]) => typeof value === "number")
    .map(([name, value]) => [value, name.replace(/(?!^)([A-Z])/g, "_$1").toLowerCase()]),
);

/** A duration in milliseconds, bounded so that no server can send a client away for good. */
function waitMs(duration: Parameters<typeof durationMs>[0] | undefined): number {
  return duration === undefined ? 0 : Math.min(limits.maxRetryAfterMs, Math.max(0, durationMs(duration)));
}
