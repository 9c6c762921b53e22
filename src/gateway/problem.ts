import { toJson } from "@bufbuild/protobuf";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { Reason, TailraceError } from "../base/errors.ts";
import { diagnosticOf } from "../events/diagnostics.ts";
import { problemOf, problemType } from "../wire/problem.ts";
import { type Headers, type HttpResponse, sendJson } from "./http.ts";

/** HTTP status of every reason (docs/protocol.md, "Diagnostics"). */
export const httpStatus: Readonly<Record<Reason, number>> = {
  invalid_request: 400,
  cursor_malformed: 400,
  cursor_unknown: 409,
  cursor_expired: 410,
  worker_not_found: 404,
  job_not_found: 404,
  log_unavailable: 503,
  server_closing: 503,
  access_expired: 401,
  access_denied: 403,
  limit_exceeded: 429,
  job_ended: 409,
  producer_conflict: 409,
  producer_unknown: 409,
  internal: 500,
  // What these say is the operator's matter; a client hears `log_unavailable`.
  log_open_failed: 503,
  connection_failed: 503,
  part_missing: 503,
};

const asProblem = { "content-type": problemType };

/**
 * Answers with the problem (RFC 9457) of an error, whose `diagnostic` member is the StreamDiagnostic as proto3 JSON.
 * `status`: one that says more than the reason's own.
 */
export function sendError(
  response: HttpResponse,
  error: TailraceError,
  headers: Headers = {},
  status = httpStatus[error.reason],
): void {
  const diagnostic = diagnosticOf(error);
  const retryAfterMs = retryAfterOf(error);
  sendJson(
    response,
    status,
    { ...problemOf(status, diagnostic.message), diagnostic: toJson(StreamDiagnosticSchema, diagnostic) },
    {
      ...asProblem,
      ...(retryAfterMs === undefined ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryAfterMs / 1000))) }),
      ...headers,
    },
  );
}

/** Answers with a problem of HTTP itself, for which there is no diagnostic. */
export function sendProblem(response: HttpResponse, status: number, detail: string, headers: Headers = {}): void {
  sendJson(response, status, problemOf(status, detail), { ...asProblem, ...headers });
}

/** Milliseconds after which the same request may succeed; undefined: repeating it unchanged does not help. */
export function retryAfterOf(error: TailraceError): number | undefined {
  return "retryAfterMs" in error.details ? error.details.retryAfterMs : undefined;
}
