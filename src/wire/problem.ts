import { STATUS_CODES } from "node:http";

/** Content type of problems (RFC 9457). */
export const problemType = "application/problem+json";

/** A problem without members of its own. */
export interface Problem {
  readonly type: "about:blank";
  readonly title: string;
  readonly status: number;
  readonly detail: string;
}

/** The problem of a status. `detail`: what to do, for people. */
export function problemOf(status: number, detail: string): Problem {
  return { type: "about:blank", title: STATUS_CODES[status] ?? "Error", status, detail };
}
