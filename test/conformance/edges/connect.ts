import type { DescMethodServerStreaming, DescMethodUnary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { StreamDiagnosticSchema } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import { codeNames } from "./edge.ts";
import { type RpcClient, RpcFailure, rpcEdge } from "./rpc.ts";

const jsonOptions = { ignoreUnknownFields: false } as const;

/** Connect over HTTP/1.1 with messages in protobuf. */
export const connectHttp1 = rpcEdge("Connect h1", (url) =>
  connectClient(createConnectTransport({ baseUrl: url, httpVersion: "1.1", useBinaryFormat: true })),
);

/** Connect over HTTP/1.1 with messages in JSON. */
export const connectJson = rpcEdge("Connect h1 JSON", (url) =>
  connectClient(createConnectTransport({ baseUrl: url, httpVersion: "1.1", useBinaryFormat: false, jsonOptions })),
);

/** Connect over HTTP/2 in cleartext. */
export const connectHttp2 = rpcEdge("Connect h2c", (url) => {
  const sessionManager = new Http2SessionManager(url);
  return connectClient(
    createConnectTransport({ baseUrl: url, httpVersion: "2", useBinaryFormat: true, sessionManager }),
    () => sessionManager.abort(),
  );
});

/** gRPC-Web over HTTP/1.1, as a browser speaks it. */
export const grpcWeb = rpcEdge("gRPC-Web", (url) =>
  connectClient(createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1", useBinaryFormat: true })),
);

/** A client that speaks through a transport of Connect. `close`: lets go of what the transport holds. */
export function connectClient(transport: Transport, close: () => void = () => undefined): RpcClient {
  const call = (method: DescMethodUnary | DescMethodServerStreaming) => {
    const client = createClient(method.parent, transport) as Record<string, unknown>;
    // Typed by its method, which the types of a table of clients can't say.
    // biome-ignore lint/suspicious/noExplicitAny: see above.
    return client[method.localName] as (...args: unknown[]) => any;
  };
  return {
    async unary(method, request, options = {}) {
      try {
        return await call(method)(request, options);
      } catch (error) {
        throw failureOf(error);
      }
    },
    async *stream(method, request, options) {
      try {
        yield* call(method)(request, options);
      } catch (error) {
        throw failureOf(error);
      }
    },
    close,
  };
}

function failureOf(error: unknown): unknown {
  if (!(error instanceof ConnectError)) return error;
  const [detail] = error.findDetails(StreamDiagnosticSchema);
  return new RpcFailure(codeNames[error.code] ?? Code[error.code], error.rawMessage, detail);
}
