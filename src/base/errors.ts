/** What is wrong, by reason. The reasons of the protocol (docs/protocol.md, "Diagnostics") and, last, those that never cross a wire. */
export interface ProblemDetails {
  /** A request makes no sense. `field` is its path in the names of the schema ("worker_ids[3]"). */
  invalid_request: { field: string; description: string };
  cursor_malformed: { description: string };
  cursor_unknown: { cause: "other_generation" | "other_runtime" | "other_history" | "beyond_head" };
  /** Cursors are encoded; `lostEvents` counts events of the scope, exact or an upper bound. */
  cursor_expired: {
    requestedCursor: string;
    earliestCursor: string;
    latestCursor: string;
    lostEvents: number;
    lostExact: boolean;
  };
  worker_not_found: { workerId: string };
  job_not_found: { jobId: string };
  /**
   * `sinceMs`: milliseconds since the epoch. `retryAfterMs`: milliseconds. `conflict`: another server that shares the log was
   * first, so nothing was written; it stays in the process.
   */
  log_unavailable: { sinceMs: number; retryAfterMs: number; conflict?: true };
  server_closing: { retryAfterMs: number };
  access_expired: Record<never, never>;
  access_denied: { grant: string };
  /** `retryAfterMs` absent: trying again does not help. */
  limit_exceeded: { limit: string; maximum: number; retryAfterMs?: number };
  job_ended: { jobId: string; state: JobOutcome };
  producer_conflict: { expectedProducerSequence: number; description: string };
  producer_unknown: { producerId: string };
  /** The cause stays in the server's own log, under this id. */
  internal: { incidentId: string };
  /** A log can't be opened; the message says what to do. Never sent to a client. The last four are of a log on NATS. */
  log_open_failed: {
    cause:
      | "newer_format"
      | "corrupt"
      | "locked"
      | "read_only"
      | "full"
      | "not_a_log"
      | "io"
      | "unreachable"
      | "denied"
      | "unsupported"
      | "other_configuration";
  };
  /**
   * A client could not reach a server, or what answered is none. `code`: the Connect code in lower case ("unavailable").
   * `attempts`: tries in a row. Never sent by a server.
   */
  connection_failed: { code: string; attempts: number };
  /** An optional dependency is not installed. `part`: the export that needs it ("tailrace/server"). Never sent to a client. */
  part_missing: { part: string; packages: readonly string[] };
}

/** How a job ended: its terminal state. */
export type JobOutcome = "succeeded" | "failed" | "cancelled" | "timed_out";

export type Reason = keyof ProblemDetails;

/** The one error of Tailrace: a reason, its details, and a message that says what to do. `cause` never leaves the process. */
export class TailraceError<R extends Reason = Reason> extends Error {
  override readonly name = "TailraceError";
  readonly reason: R;
  readonly details: ProblemDetails[R];
  /** Position to come back with, encoded; absent where there is none. */
  readonly cursor: string | undefined;

  constructor(reason: R, details: ProblemDetails[R], message: string, options?: { cause?: unknown; cursor?: string }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.details = details;
    this.cursor = options?.cursor;
  }
}

/** Whether `error` is a TailraceError of this reason. */
export function hasReason<R extends Reason>(error: unknown, reason: R): error is TailraceError<R> {
  return error instanceof TailraceError && error.reason === reason;
}

/** A request that makes no sense: names the field and what would be right. */
export function invalidRequest(field: string, description: string): TailraceError<"invalid_request"> {
  return new TailraceError("invalid_request", { field, description }, `${field}: ${description}`);
}
