import { Code } from "@connectrpc/connect";
import { invalidRequest, type TailraceError } from "../base/errors.ts";
import type { HttpRequest } from "./http.ts";

/** What is wrong with a call before anything looks into its message. */
export interface ProtocolFault {
  readonly error: TailraceError<"invalid_request">;
  /** As the protocols want it, whatever the reason's own would be. */
  readonly code: Code;
  /** Status with which HTTP says it; undefined: the protocol does, in a status of its own, a stream or a trailer. */
  readonly status: 400 | 415 | undefined;
  /** Headers that say what would be right. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What can be sent compressed, by the header that would say so, and the header of the answer that says what is read. */
const encodings = [
  ["content-encoding", "accept-encoding", "all"],
  ["connect-content-encoding", "connect-accept-encoding", "stream"],
  ["grpc-encoding", "grpc-accept-encoding", "grpc"],
] as const;

const timeouts = [
  ["connect-timeout-ms", /^\d{1,10}$/, "it is a whole number of milliseconds, of at most 10 digits"],
  ["grpc-timeout", /^\d{1,8}[HMSmun]$/, "it is a whole number of at most 8 digits and a unit: H, M, S, m, u or n"],
] as const;

/**
 * What the headers or the query of a call say that can't be: an encoding that nothing here reads, a deadline that is none.
 * Connect refuses most of it by itself, but in words only, and an encoding with the status of a fault of the server; a
 * Content-Encoding of a stream it does not look at.
 */
export function findProtocolFault(request: HttpRequest): ProtocolFault | undefined {
  const { headers, method, url = "" } = request;
  if (method === "GET") return findQueryFault(new URL(url, "http://localhost").searchParams);
  const form = formOf(headers["content-type"] ?? "");
  for (const [name, accepting, where] of encodings) {
    if (where !== "all" && where !== form) continue;
    const value = headers[name];
    if (value === undefined || value === "identity") continue;
    return unread(name, accepting, name === "content-encoding" && form !== "grpc");
  }
  const [name, pattern, description] = timeouts[form === "grpc" ? 1 : 0];
  const timeout = headers[name];
  if (timeout === undefined || pattern.test(String(timeout))) return undefined;
  return { error: invalidRequest(name, description), code: Code.InvalidArgument, status: undefined, headers: {} };
}

function findQueryFault(query: URLSearchParams): ProtocolFault | undefined {
  const compression = query.get("compression");
  if (compression !== null && compression !== "identity") return unread("compression", "accept-encoding", true);
  const encoding = query.get("encoding");
  if (encoding === "json" || encoding === "proto" || !query.has("connect")) return undefined;
  const error = invalidRequest("encoding", "it is json or proto");
  return { error, code: Code.InvalidArgument, status: 400, headers: {} };
}

function unread(name: string, accepting: string, overHttp: boolean): ProtocolFault {
  return {
    error: invalidRequest(name, "what is compressed is not read here; send it as it is (identity)"),
    // Both protocols say so, and their clients look at it.
    code: Code.Unimplemented,
    status: overHttp ? 415 : undefined,
    headers: { [accepting]: "identity" },
  };
}

function formOf(contentType: string): "unary" | "stream" | "grpc" {
  if (/^application\/grpc/i.test(contentType)) return "grpc";
  return /^application\/connect\+/i.test(contentType) ? "stream" : "unary";
}
