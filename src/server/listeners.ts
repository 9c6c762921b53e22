import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttp2Server, createSecureServer, type ServerHttp2Session } from "node:http2";
import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { limits } from "../base/limits.ts";
import type { HttpHandler } from "../gateway/http.ts";
import type { Connections } from "./connections.ts";
import { createProtocolSwitch } from "./protocol-switch.ts";
import { answerUnreadable } from "./unreadable.ts";

/** Certificate chain and private key, in PEM. */
export interface TlsOptions {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
}

export interface ListenerOptions {
  readonly handler: HttpHandler;
  readonly connections: Connections;
  readonly tls: TlsOptions | undefined;
}

/** A server that is ready to listen, and how to let go of what it holds besides its connections. */
export interface Listener {
  readonly server: Server;
  release(): void;
}

const http1Options = {
  maxHeaderSize: limits.maxHeaderBytes,
  headersTimeout: limits.headersTimeoutMs,
  requestTimeout: limits.receiveTimeoutMs,
  keepAliveTimeout: limits.keepAliveTimeoutMs,
  // How often the first two are looked at.
  connectionsCheckingInterval: Math.ceil(limits.headersTimeoutMs / 4),
};

const http2Options = {
  // Streams that wait for a slow reader hold memory that Node counts against the session. Ours is bounded per stream.
  maxSessionMemory: 1_024,
  settings: { maxConcurrentStreams: limits.maxStreamsPerConnection, maxHeaderListSize: limits.maxHeaderBytes },
};

/** One port for HTTP/1.1 and HTTP/2: in cleartext by the first bytes, with TLS by ALPN. */
export function createListener(options: ListenerOptions): Listener {
  const listener = options.tls === undefined ? cleartext(options) : secure(options, options.tls);
  listener.server.maxConnections = limits.maxConnections;
  return listener;
}

function cleartext({ handler, connections }: ListenerOptions): Listener {
  const http1 = createHttpServer(http1Options, handler as RequestListener);
  http1.on("clientError", answerUnreadable);
  // What enforces the timeouts starts when a server listens, and this one is handed its connections.
  http1.emit("listening");
  const http2 = createHttp2Server(http2Options, handler);
  http2.on("session", (session: ServerHttp2Session) => connections.addSession(session));
  const server = createProtocolSwitch({
    onHttp1: (socket) => http1.emit("connection", socket),
    onHttp2: (socket) => {
      connections.removeHttp1(socket);
      http2.emit("connection", socket);
    },
  });
  server.on("connection", (socket: Socket) => {
    connections.accept(socket);
    connections.addHttp1(socket);
  });
  return {
    server,
    release: () => {
      http1.close();
    },
  };
}

function secure({ handler, connections }: ListenerOptions, tls: TlsOptions): Listener {
  const server = createSecureServer(
    { ...http1Options, ...http2Options, cert: Buffer.from(tls.cert), key: Buffer.from(tls.key), allowHTTP1: true },
    handler,
  );
  server.on("clientError", answerUnreadable);
  server.on("connection", (socket: Socket) => connections.accept(socket));
  server.on("secureConnection", (socket: TLSSocket) => {
    if (socket.alpnProtocol !== "h2") connections.addHttp1(socket);
  });
  server.on("session", (session: ServerHttp2Session) => connections.addSession(session));
  // A peer that breaks off its handshake is no fault of ours.
  server.on("tlsClientError", () => undefined);
  return { server, release: () => undefined };
}
