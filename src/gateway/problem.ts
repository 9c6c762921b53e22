import { STATUS_CODES } from "node:http";
import { toJson } from "@bufbuild/protobuf";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { Reason, TailraceError } from "../base/errors.ts";
import { diagnosticOf } from "../events/diagnostics.ts";
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

const problemType = { "content-type": "application/problem+json" };

/** Answers with the problem (RFC 9457) of an error, whose `diagnostic` member is the StreamDiagnostic as proto3 JSON. */
export function sendError(response: HttpResponse, error: TailraceError, headers: Headers = {}): void {
  const status = httpStatus[error.reason];
  const diagnostic = diagnosticOf(error);
  const retryAfterMs = retryAfterOf(error);
  sendJson(
    response,
    status,
    { ...problem(status, diagnostic.message), diagnostic: toJson(StreamDiagnosticSchema, diagnostic) },
    {
      ...problemType,
      ...(retryAfterMs === undefined ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryAfterMs / 1000))) }),
      ...headers,
    },
  );
}

/** Answers with a problem of HTTP itself, for which there is no diagnostic. */
export function sendProblem(response: HttpResponse, status: number, detail: string, headers: Headers = {}): void {
  sendJson(response, status, problem(status, detail), { ...problemType, ...headers });
}

/** Milliseconds after which the same request may succeed; undefined: repeating it unchanged does not help. */
export function retryAfterOf(error: TailraceError): number | undefined {
  return "retryAfterMs" in error.details ? error.details.retryAfterMs : undefined;
}

function problem(status: number, detail: string): object {
  return { type: "about:blank", title: STATUS_CODES[status], status, detail };
}
