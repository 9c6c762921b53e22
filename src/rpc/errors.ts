import { Code, ConnectError } from "@connectrpc/connect";
import { type StreamDiagnostic, StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { type ReportError, toTailraceError } from "../base/incident.ts";
import { diagnosticOf } from "../events/diagnostics.ts";

type EndReason = NonNullable<StreamDiagnostic["reason"]["case"]>;

/** Codes by reason (docs/protocol.md, "Diagnostics"). Undefined: not an error. */
const codes: Readonly<Record<EndReason, Code | undefined>> = {
  invalidRequest: Code.InvalidArgument,
  cursorMalformed: Code.InvalidArgument,
  cursorUnknown: Code.FailedPrecondition,
  cursorExpired: Code.OutOfRange,
  workerNotFound: Code.NotFound,
  jobNotFound: Code.NotFound,
  logUnavailable: Code.Unavailable,
  serverClosing: Code.Unavailable,
  accessExpired: Code.Unauthenticated,
  accessDenied: Code.PermissionDenied,
  limitExceeded: Code.ResourceExhausted,
  jobEnded: Code.FailedPrecondition,
  producerConflict: Code.FailedPrecondition,
  producerUnknown: Code.FailedPrecondition,
  internal: Code.Internal,
  streamEnded: undefined,
  // Notices, which end nothing.
  gap: undefined,
  caughtUp: undefined,
  fellBehind: undefined,
};

/** The error that an RPC ends with after this terminal diagnostic, which it has as its detail; undefined: it ends with ok. */
export function connectErrorOf(diagnostic: StreamDiagnostic): ConnectError | undefined {
  const { reason } = diagnostic;
  const code = reason.case === undefined ? Code.Unknown : codes[reason.case];
  return code === undefined ? undefined : connectErrorWith(code, diagnostic);
}

/** An error with this code, whatever the reason's own would be. */
export function connectErrorWith(code: Code, diagnostic: StreamDiagnostic): ConnectError {
  return new ConnectError(diagnostic.message, code, undefined, [{ desc: StreamDiagnosticSchema, value: diagnostic }]);
}

/** Any error of an implementation as a client may see it. What Connect itself raised (deadline, cancel) stays as it is. */
export function toConnectError(error: unknown, report: ReportError): ConnectError {
  if (error instanceof ConnectError) return error;
  const diagnostic = diagnosticOf(toTailraceError(error, report));
  return connectErrorOf(diagnostic) ?? new ConnectError(diagnostic.message, Code.Unknown);
}
