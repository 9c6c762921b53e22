import type { ReasonKey } from "./viewer.ts";

/** Connect code and HTTP status of every reason that can end a watch or refuse a request (docs/protocol.md, "Diagnostics"). */
export const outcomes = {
  invalidRequest: { code: "invalid_argument", status: 400 },
  cursorMalformed: { code: "invalid_argument", status: 400 },
  cursorUnknown: { code: "failed_precondition", status: 409 },
  cursorExpired: { code: "out_of_range", status: 410 },
  workerNotFound: { code: "not_found", status: 404 },
  jobNotFound: { code: "not_found", status: 404 },
  logUnavailable: { code: "unavailable", status: 503 },
  serverClosing: { code: "unavailable", status: 503 },
  accessDenied: { code: "permission_denied", status: 403 },
  limitExceeded: { code: "resource_exhausted", status: 429 },
  jobEnded: { code: "failed_precondition", status: 409 },
  producerConflict: { code: "failed_precondition", status: 409 },
  producerUnknown: { code: "failed_precondition", status: 409 },
  internal: { code: "internal", status: 500 },
} as const satisfies Partial<Record<ReasonKey, { code: string; status: number }>>;

export type RefusalReason = keyof typeof outcomes;
