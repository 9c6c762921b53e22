import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { problemOf, problemType } from "../wire/problem.ts";

/** Status and advice by the code of Node's error. All others: 400. */
const answers: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, "The headers are too large. Send fewer, or shorter ones."],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "The extensions of a chunk are too large. Send none."],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "The request did not come in time. Send it again."],
};

/**
 * Answers what no request could be made of, and closes the connection: as Node does by itself, but with a problem. Nothing
 * is said to a peer that is in the middle of an answer.
 */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  // What is being answered there. Node itself looks at it, for want of another way.
  const { _httpMessage: answering } = socket as { readonly _httpMessage?: Pick<ServerResponse, "headersSent"> | null };
  if (socket.writable && error.code !== "ECONNRESET" && answering?.headersSent !== true) {
    const [status, detail] = answers[error.code ?? ""] ?? [400, "This is no request of HTTP that can be read."];
    const problem = problemOf(status, detail);
    const body = JSON.stringify(problem);
    socket.write(
      `HTTP/1.1 ${status} ${problem.title}\r\nConnection: close\r\nContent-Type: ${problemType}\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
  socket.destroySoon();
}
