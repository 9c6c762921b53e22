import { type Agent, request as http1Request, type IncomingHttpHeaders } from "node:http";
import type { ClientHttp2Session } from "node:http2";

/** What an attempt must be answered with. */
export type Expected =
  /** A problem with a diagnostic. */
  | "problem"
  /** A problem of HTTP itself. */
  | "plain problem"
  /** An event stream that ends with a diagnostic: an EventSource that reconnects can't read a status. */
  | "diagnostic in the stream"
  /** An error of Connect, with a diagnostic as its detail. */
  | "connect error"
  /** An error of Connect about HTTP: no such RPC, wrong method, wrong content type. */
  | "plain connect error"
  /** A stream of Connect that ends with such an error. */
  | "connect stream error"
  /** One that ends with an error about its frames. */
  | "plain connect stream error"
  /** A status of gRPC, in the trailers or, with gRPC-Web, in the body, with a diagnostic as its detail. */
  | "grpc status"
  /** A status of gRPC about its frames. */
  | "plain grpc status";

/** A request with something wrong in it. */
export interface Attempt {
  readonly expected: Expected;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  /** gRPC needs HTTP/2. */
  readonly http2?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Sends an attempt as it is: what is not allowed in a request must not be put right on the way. */
export function send(attempt: Attempt, port: number, agent: Agent, session: ClientHttp2Session): Promise<Answer> {
  return attempt.http2 === true ? sendHttp2(attempt, session) : sendHttp1(attempt, port, agent);
}

function sendHttp1({ method, path, headers, body }: Attempt, port: number, agent: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http1Request({ host: "127.0.0.1", port, agent, method, path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const { statusCode: status = 0, headers: answered, trailers } = response;
        resolve({ status, headers: answered, trailers, body: Buffer.concat(chunks) });
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}

function sendHttp2({ method, path, headers, body }: Attempt, session: ClientHttp2Session): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ...headers, ":method": method, ":path": path });
    let answered: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on("response", (head) => {
      answered = head as IncomingHttpHeaders;
    });
    stream.on("trailers", (tail) => {
      trailers = tail as IncomingHttpHeaders;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () => {
      const status = Number((answered as Record<string, unknown>)[":status"] ?? 0);
      resolve({ status, headers: answered, trailers, body: Buffer.concat(chunks) });
    });
    stream.end(body);
  });
}
