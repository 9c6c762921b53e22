import { type HttpRequest, type HttpResponse, headerOf, sendEmpty, sendJson } from "./http.ts";

/** What the answer of every projection has. */
export interface Projection {
  readonly cursor: string;
  readonly revision: string;
}

/**
 * Answers with a projection, or 304 where the caller has it. The cursor goes along in both cases, so that a caller that
 * polls can change to watching at any time.
 */
export function sendProjection(
  request: HttpRequest,
  response: HttpResponse,
  { cursor, revision }: Projection,
  toBody: () => unknown,
): void {
  const tag = `"${encodeURIComponent(revision)}"`;
  const headers = { etag: tag, "tailrace-cursor": cursor, "cache-control": "no-cache" };
  if (hasTag(request, tag)) sendEmpty(response, 304, headers);
  else sendJson(response, 200, toBody(), headers);
}

/** Whether `If-None-Match` has the tag. Compared weakly (RFC 9110, 13.1.2): proxies that compress weaken tags. */
export function hasTag(request: HttpRequest, tag: string): boolean {
  const header = headerOf(request, "if-none-match");
  if (header === undefined) return false;
  return header.split(",").some((candidate) => {
    const text = candidate.trim();
    return text === "*" || text === tag || text === `W/${tag}`;
  });
}
