import { Code, ConnectError } from "@connectrpc/connect";
import { errorToJson } from "@connectrpc/connect/protocol-connect";
import { problemOf, problemType } from "../wire/problem.ts";
import type { Answer, HttpRequest } from "./http.ts";

/** The answer that has an error of Connect as its body, under any status: clients of unary calls go by the body. */
export function errorAnswer(status: number, error: ConnectError, headers: Answer["headers"] = {}): Answer {
  return jsonAnswer(status, "application/json", errorToJson(error, undefined), headers);
}

/** An answer of HTTP itself (no such RPC, wrong method, wrong content type), in the words that the caller understands. */
export function httpFault(request: HttpRequest, status: 404 | 405 | 415, allow: readonly string[]): Answer {
  const detail = details[status];
  const headers = status === 405 ? { allow: allow.join(", ") } : {};
  return speaksConnect(request)
    ? errorAnswer(status, new ConnectError(detail, Code.Unimplemented), headers)
    : jsonAnswer(status, problemType, problemOf(status, detail), headers);
}

const details = {
  404: "There is no such RPC on this server. Check the name, and what the server serves.",
  405: "This RPC is not called by this method. POST is always right.",
  415: "This RPC does not take this content type. Unary calls of Connect take application/json (UTF-8) and application/proto, streams application/connect+json and application/connect+proto, gRPC and gRPC-Web their own.",
} as const;

/** Whether the caller reads errors of Connect. */
function speaksConnect({ headers, method, url = "" }: HttpRequest): boolean {
  if (headers["connect-protocol-version"] !== undefined) return true;
  if (/^application\/(?:json|proto|connect\+)/i.test(headers["content-type"] ?? "")) return true;
  return method === "GET" && /[?&]connect=v1(?:&|$)/.test(url);
}

function jsonAnswer(status: number, type: string, json: unknown, headers: Answer["headers"]): Answer {
  const body = Buffer.from(JSON.stringify(json));
  return {
    status,
    headers: { ...headers, "content-type": type, "content-length": body.length },
    body,
    trailers: undefined,
  };
}
