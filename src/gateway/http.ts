import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";

/** A request over HTTP/1.1 or HTTP/2. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;
/** The answer to it. */
export type HttpResponse = ServerResponse | Http2ServerResponse;
/** Answers a request, sooner or later. Never throws. */
export type HttpHandler = (request: HttpRequest, response: HttpResponse) => void;

export type Headers = Readonly<Record<string, string>>;

/** Answers with a JSON text. The body is left out by Node where the method is HEAD. */
export function sendJson(response: HttpResponse, status: number, body: unknown, headers: Headers = {}): void {
  sendText(response, status, JSON.stringify(body), headers);
}

/** The same for what is a JSON text already. */
export function sendText(response: HttpResponse, status: number, text: string, headers: Headers = {}): void {
  sendHead(response, status, {
    "cache-control": "no-store",
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    ...headers,
  });
  response.end(text);
}

/** Answers with a status and no body. */
export function sendEmpty(response: HttpResponse, status: number, headers: Headers = {}): void {
  sendHead(response, status, headers);
  response.end();
}

/** The one value of a header; undefined where there is none. */
export function headerOf(request: HttpRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(",") : value;
}

/** The request target cut into its path and its query, both as they came. */
export function splitTarget(request: HttpRequest): { path: string; query: string } {
  const target = request.url ?? "/";
  const mark = target.indexOf("?");
  return mark === -1 ? { path: target, query: "" } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

function sendHead(response: HttpResponse, status: number, headers: Headers): void {
  // The two have the same method, but their overloads do not unite.
  (response as ServerResponse).writeHead(status, headers);
}
