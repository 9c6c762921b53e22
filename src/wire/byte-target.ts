import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import type { Socket } from "node:net";
import { chunkOf } from "./chunk.ts";
import { releaseParser } from "./http-parser.ts";
import type { ByteTarget } from "./node-writer.ts";

/** Takes the bytes of a response at the speed of its reader. The head must have been sent before the first write. */
export function targetOf(response: ServerResponse | Http2ServerResponse): ByteTarget {
  // Past the compatibility layer of HTTP/2, which has no backpressure of its own.
  return "stream" in response ? response.stream : new ChunkedTarget(response);
}

/** Sends status and headers now, so that a stream without events does not look hung. */
export function sendStreamHead(
  response: ServerResponse | Http2ServerResponse,
  status: number,
  headers: OutgoingHttpHeaders,
): void {
  if ("stream" in response) {
    // It has this method, but its type does not say so.
    (response.writeHead(status, headers) as Http2ServerResponse & Pick<ServerResponse, "flushHeaders">).flushHeaders();
    return;
  }
  const { socket } = response;
  // With the first frames, if they come at once: a write to the system less for every watch that is opened. Not in a later
  // turn: a burst of connections is one turn, and would hold what it wrote to all of them.
  if (socket !== null) {
    socket.cork();
    process.nextTick(() => socket.uncork());
  }
  // A stream is the last thing on its connection, so nothing has to be kept to read another request.
  response.writeHead(status, { ...headers, connection: "close" }).flushHeaders();
  releaseParser(response);
}

/**
 * An HTTP/1.1 response whose frames go past it to the socket, already cut into chunks: Node would cut them for each reader
 * and hand the system three pieces instead of one, which costs a third of delivery (bench/results). The end goes through
 * the response, which knows about trailers.
 */
class ChunkedTarget implements ByteTarget {
  readonly #response: ServerResponse;
  /** Null for a pipelined request whose turn has not come: its frames wait in the response. */
  readonly #socket: Socket | null;

  constructor(response: ServerResponse) {
    this.#response = response;
    this.#socket = response.socket;
  }

  get destroyed(): boolean {
    return this.#response.destroyed;
  }

  get flushed(): boolean {
    const socket = this.#direct;
    return socket !== null && socket.writableLength === 0 && !socket.destroyed;
  }

  encode(frame: Uint8Array): Uint8Array {
    return this.#direct === null ? frame : chunkOf(frame);
  }

  write(bytes: Uint8Array): boolean {
    return (this.#direct ?? this.#response).write(bytes);
  }

  end(): void {
    this.#response.end();
  }

  destroy(): void {
    this.#response.destroy();
  }

  on(event: "drain" | "close" | "error", listener: () => void): void {
    this.#emitterOf(event).on(event, listener);
  }

  off(event: "drain" | "close" | "error", listener: () => void): void {
    this.#emitterOf(event).off(event, listener);
  }

  /** What is written past the response drains past it, too; and what is written through it drains at the socket first. */
  #emitterOf(event: "drain" | "close" | "error"): Socket | ServerResponse {
    return event === "drain" ? (this.#socket ?? this.#response) : this.#response;
  }

  /** HTTP/1.0 has no chunks. */
  get #direct(): Socket | null {
    return this.#response.chunkedEncoding ? this.#socket : null;
  }
}
