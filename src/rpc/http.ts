import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { ContextValues } from "@connectrpc/connect";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { Call } from "./call.ts";

/** A request over HTTP/1.1 or HTTP/2. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;
/** The answer to it. */
export type HttpResponse = ServerResponse | Http2ServerResponse;

export interface AnswerHead {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
}

/** An answer whose body is complete. */
export interface Answer extends AnswerHead {
  readonly body: Uint8Array;
  readonly trailers: OutgoingHttpHeaders | undefined;
}

/** The path of a request, without its query. */
export function pathOf(request: HttpRequest): string {
  const target = request.url ?? "/";
  const mark = target.indexOf("?");
  return mark === -1 ? target : target.slice(0, mark);
}

/** A request as Connect takes it. */
export function toUniversalRequest(
  request: HttpRequest,
  call: Call,
  signal: AbortSignal,
  contextValues: ContextValues,
  // Without the option, whoever stops reading early would destroy the connection before it had its answer.
  body: AsyncIterable<Uint8Array> = request.iterator({ destroyOnReturn: false }),
): UniversalServerRequest {
  const header = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    if (Array.isArray(value)) for (const one of value) header.append(name, one);
    else header.set(name, value);
  }
  return {
    httpVersion: request.httpVersion,
    method: request.method ?? "",
    // Connect reads the query only, and a host that is no host must not fail here.
    url: new URL(request.url ?? "/", "http://localhost").toString(),
    header,
    body: call.read(body),
    signal,
    contextValues,
  };
}

/** Takes an answer of Connect in whole: all but the frames of watches, which take another way. */
export async function collect({ status, header, body, trailer }: UniversalServerResponse): Promise<Answer> {
  const chunks: Uint8Array[] = [];
  if (body !== undefined) for await (const chunk of body) chunks.push(chunk);
  return {
    status,
    headers: toNodeHeaders(header),
    body: chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks),
    trailers: trailer === undefined ? undefined : toNodeHeaders(trailer),
  };
}

export function sendAnswer(request: HttpRequest, response: HttpResponse, answer: Answer): void {
  if (response.destroyed) return;
  writeHead(response, answer.status, answer.headers);
  if (answer.trailers !== undefined) response.addTrailers(answer.trailers);
  response.end(answer.body);
  // What was not read of the request would keep the connection, or the stream's window, from going on.
  if (!request.readableEnded) request.resume();
}

export function toNodeHeaders(headers: Headers | undefined): OutgoingHttpHeaders {
  const result: OutgoingHttpHeaders = {};
  headers?.forEach((value, name) => {
    if (name !== "set-cookie") result[name] = value;
  });
  const cookies = headers?.getSetCookie() ?? [];
  if (cookies.length > 0) result["set-cookie"] = cookies;
  return result;
}

function writeHead(response: HttpResponse, status: number, headers: OutgoingHttpHeaders): void {
  // The two have the same method, but their overloads do not unite.
  (response as ServerResponse).writeHead(status, headers);
}
