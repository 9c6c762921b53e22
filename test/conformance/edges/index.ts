import { connectHttp1, connectHttp2, connectJson, grpcWeb } from "./connect.ts";
import type { Edge } from "./edge.ts";
import { grpc } from "./grpc.ts";
import type { RpcEdge } from "./rpc.ts";
import { sseEdge } from "./sse.ts";

/** Every RPC protocol that a server speaks. */
export const rpcEdges: readonly RpcEdge[] = [connectHttp1, connectJson, connectHttp2, grpc, grpcWeb];

/** Server-sent events, over both versions of HTTP. */
export const sseEdges: readonly Edge[] = [sseEdge("SSE", "http1"), sseEdge("SSE h2c", "http2")];

/** Every way to watch: the one table of edges. */
export const edges: readonly Edge[] = [...rpcEdges, ...sseEdges];
