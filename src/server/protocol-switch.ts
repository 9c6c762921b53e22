import { createServer, type Server, type Socket } from "node:net";
import { limits } from "../base/limits.ts";
import { releaseWaitingParsers } from "../wire/http-parser.ts";

/** The first bytes of HTTP/2 in cleartext. No method of HTTP/1.1 begins like it. */
const http2Preface = Buffer.from("PRI");

export interface ProtocolSwitchOptions {
  readonly onHttp1: (socket: Socket) => void;
  readonly onHttp2: (socket: Socket) => void;
}

/**
 * A listener that looks at the first bytes of each connection and hands it to HTTP/1.1 or HTTP/2. Looks on "readable":
 * with "data" the bytes would be gone for HTTP/2, which reads from the handle itself.
 */
export function createProtocolSwitch({ onHttp1, onHttp2 }: ProtocolSwitchOptions): Server {
  // Half-open as http.Server has it: a client may end its side before it has its answer.
  return createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const ignore = (): void => undefined;
    const giveUp = (): void => {
      socket.destroy();
    };
    // Put back only when it is known where to: what is unshifted is "readable" again at once, for ever.
    let held: Buffer | undefined;
    const look = (): void => {
      const more: Buffer | null = socket.read();
      if (more === null) return;
      const head = held === undefined ? more : Buffer.concat([held, more]);
      const length = Math.min(head.length, http2Preface.length);
      const isHttp2 = head.subarray(0, length).equals(http2Preface.subarray(0, length));
      if (isHttp2 && length < http2Preface.length) {
        held = head;
        return;
      }
      socket.unshift(head);
      socket.off("readable", look);
      socket.off("end", giveUp);
      socket.off("timeout", giveUp);
      socket.setTimeout(0);
      if (isHttp2) {
        socket.allowHalfOpen = false;
        onHttp2(socket);
      } else {
        // This is a turn of a socket that no parser reads yet.
        releaseWaitingParsers();
        onHttp1(socket);
        socket.resume();
      }
      // From here on its protocol listens.
      socket.off("error", ignore);
    };
    socket.on("error", ignore);
    socket.on("end", giveUp);
    socket.on("timeout", giveUp);
    // Who says nothing would hold the connection for ever.
    socket.setTimeout(limits.headersTimeoutMs);
    socket.on("readable", look);
  });
}
