import fc from "fast-check";
import { limits } from "../../../src/base/limits.ts";
import { routes } from "../../../src/gateway/routes.ts";
import type { Attempt, Expected } from "./attempt.ts";
import { wrongJson, wrongSubmit } from "./bodies.ts";
import { tokensOfLists, wrongTokens } from "./page-tokens.ts";

const json = { "content-type": "application/json" };

function attempt(
  expected: Expected,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: Uint8Array,
): Attempt {
  return { expected, method, path, headers: method === "POST" ? { ...json, ...headers } : headers, body };
}

/** Ids of nothing, and texts that are no ids at all. Never the segment "." or "..", which clients take out of paths. */
const wrongIds = fc.oneof(
  fc.string({ unit: "binary", minLength: 3, maxLength: 40 }).map(encodeURIComponent),
  fc.integer({ min: 257, max: 2_000 }).map((length) => "x".repeat(length)),
  fc.constantFrom("none", "%", "%zz", "%FF", "%E0%A4%A", "%00", "..%2F..%2Fetc", "%0d%0aid:%20x", "%C3%28", "[DONE]"),
);

const table = routes.flatMap(({ path, operations }) => Object.keys(operations).map((method) => ({ method, path })));
const withId = table.filter(({ path }) => path.includes("{"));
const streams = table.filter(({ path }) => path.endsWith("events") || path.endsWith("stream"));
const posts = table.filter(({ method }) => method === "POST");

const lists = [
  { path: "/v1/workers", own: "w" },
  { path: "/v1/jobs", own: "j" },
  { path: "/v1/workers/{worker_id}/transcript", own: "t" },
];

/** Ids that exist, to get as far as what is wrong. */
export interface Known {
  readonly workerId: string;
  readonly jobId: string;
}

function known(path: string, { workerId, jobId }: Known): string {
  return path.replace("{worker_id}", workerId).replace("{job_id}", jobId);
}

const word = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }).map((text) => `${text}~`);

/** Values that a parameter does not take. */
const wrongValues: Readonly<Record<string, fc.Arbitrary<string>>> = {
  cursor: fc.oneof(word, fc.constant(""), fc.constant("A".repeat(56)), fc.constant("A".repeat(5_000))),
  start_at: word,
  since: fc.oneof(word, fc.constantFrom("", "5", "yesterday", "2026-13-41T00:00:00Z", "9".repeat(70))),
  last: fc.oneof(word, fc.constantFrom("", "0", "-1", "1.5", "1e3", "0x10", "4294967296", "99999")),
  kinds: fc.oneof(word, fc.constantFrom("", ",", "output,,narration", "OUTPUT", "output,".repeat(300))),
  worker_ids: fc.constantFrom("", ",", "a,,b", "a,".repeat(257), "y".repeat(257)),
  on_expired: word,
  if_missing: word,
  heartbeat: fc.oneof(word, fc.constantFrom("", "15", "-1s", "1e9s", "15 s")),
  page_size: fc.oneof(word, fc.constantFrom("", "-1", "1.5", "1001", "4294967296", "NaN")),
  page_token: fc.oneof(word, fc.constantFrom(...wrongTokens)),
  newest_first: word,
  changed_since: fc.oneof(word, fc.constant("!")),
  states: fc.oneof(word, fc.constantFrom("", ",", "RUNNING", "unspecified", "running,,failed")),
  operation: fc.integer({ min: limits.maxIdBytes + 1, max: 1_000 }).map((length) => "o".repeat(length)),
  message: fc.integer({ min: limits.maxCancelMessageBytes + 1, max: 3_000 }).map((length) => "m".repeat(length)),
};

const parameters = routes.flatMap(({ path, operations }) =>
  Object.entries(operations).flatMap(([method, { query = [] }]) => query.map(({ name }) => ({ method, path, name }))),
);

/** Requests to the routes of HTTP, each with one thing wrong. */
export function wrongRequests(ids: Known): fc.Arbitrary<Attempt> {
  const toKnown = (path: string) => known(path, ids);
  return fc.oneof(
    // An id of nothing.
    fc.tuple(fc.constantFrom(...withId), wrongIds).map(([{ method, path }, id]) => {
      return attempt(
        "problem",
        method,
        path.replace(/\{\w+\}/, () => id),
      );
    }),
    // A value that is none.
    fc
      .constantFrom(...parameters)
      .chain(({ method, path, name }) =>
        (wrongValues[name] ?? fc.constant("")).map((value) =>
          attempt("problem", method, `${toKnown(path)}?${name}=${encodeURIComponent(value)}`),
        ),
      ),
    // The token of another list.
    fc
      .tuple(fc.constantFrom(...lists), fc.constantFrom(...tokensOfLists))
      .filter(([{ own }, token]) => !token.startsWith(own))
      .map(([{ path }, token]) => attempt("problem", "GET", `${toKnown(path)}?page_token=${token}`)),
    // A parameter that the route does not have, or has once. What answers probes and the document look at no query.
    fc
      .tuple(fc.constantFrom(...table.filter(({ path }) => path.startsWith("/v1/"))), word, fc.string({ maxLength: 9 }))
      .map(([{ method, path }, name, value]) =>
        attempt("problem", method, `${toKnown(path)}?${encodeURIComponent(name)}=${encodeURIComponent(value)}`),
      ),
    fc
      .constantFrom(...parameters)
      .map(({ method, path, name }) => attempt("problem", method, `${toKnown(path)}?${name}=1&${name}=1`)),
    // A body that is none.
    wrongSubmit.map((body) => attempt("problem", "POST", "/v1/jobs", {}, body)),
    wrongJson.map((body) => attempt("problem", "POST", toKnown("/v1/jobs/{job_id}/start"), {}, body)),
    // Headers that say something wrong.
    fc
      .tuple(fc.constantFrom(...posts), fc.constantFrom("gzip", "br", "zzz", "identity, gzip"))
      .map(([{ method, path }, encoding]) =>
        attempt(
          "problem",
          method,
          toKnown(path),
          { "content-encoding": encoding },
          Buffer.from('{"operation":"hold"}'),
        ),
      ),
    fc
      .tuple(fc.constantFrom(...posts), fc.stringMatching(/^[a-z]{1,9}\/[a-z+.-]{1,20}(; ?[a-z]=[a-z])?$/))
      .map(([{ method, path }, type]) =>
        attempt("plain problem", method, toKnown(path), { "content-type": `x${type}` }, Buffer.from("{}")),
      ),
    fc
      .tuple(fc.constantFrom(...streams), fc.stringMatching(/^[!-~]{1,80}$/))
      .map(([{ method, path }, id]) =>
        attempt("diagnostic in the stream", method, toKnown(path), { "last-event-id": `${id}~` }),
      ),
    fc
      .tuple(
        fc.constantFrom(...table),
        fc.constantFrom<Record<string, string>[]>(
          { origin: "https://evil.example" },
          { origin: "null" },
          { "sec-fetch-site": "cross-site" },
          { "sec-fetch-site": "anything" },
          { host: "evil.example" },
          { host: "evil.example:80" },
          { host: "[::evil]" },
        ),
      )
      .map(([{ method, path }, headers]) => attempt("problem", method, toKnown(path), headers)),
    // A method or a path that there is not.
    fc
      .tuple(fc.constantFrom(...table), fc.constantFrom("PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "QUERY"))
      .map(([{ path }, method]) => attempt("plain problem", method, toKnown(path), json)),
    fc
      .array(fc.stringMatching(/^[a-z0-9%._~-]{0,12}$/), { minLength: 1, maxLength: 5 })
      .map((segments) => attempt("plain problem", "GET", `/v0/${segments.join("/")}`)),
  );
}
