import { create, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { AnySchema, anyUnpack } from "@bufbuild/protobuf/wkt";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { type StreamDiagnostic, StreamDiagnosticSchema } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import { limits } from "../../../src/base/limits.ts";
import { type CallOptions, codeNames } from "./edge.ts";
import { type RpcClient, RpcFailure, rpcEdge } from "./rpc.ts";

/** gRPC over HTTP/2 in cleartext, by the client that most of Node uses. */
export const grpc = rpcEdge("gRPC", (url) => {
  const client = new Client(new URL(url).host, credentials.createInsecure());
  const pathOf = (method: { parent: { typeName: string }; name: string }) =>
    `/${method.parent.typeName}/${method.name}`;
  const rpc: RpcClient = {
    unary(method, request, options = {}) {
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          pathOf(method),
          (message: Message) => Buffer.from(toBinary(method.input, message as never)),
          (bytes) => fromBinary(method.output, bytes),
          create(method.input, request) as Message,
          metadataOf(options),
          (error, response) => (error === null ? resolve(response as never) : reject(failureOf(error))),
        );
      });
    },
    async *stream(method, request, { signal, ...options }) {
      const call = client.makeServerStreamRequest(
        pathOf(method),
        (message: Message) => Buffer.from(toBinary(method.input, message as never)),
        (bytes) => {
          if (bytes.length > limits.maxFrameBytes) throw new Error(`a frame of ${bytes.length} bytes`);
          return fromBinary(method.output, bytes);
        },
        create(method.input, request) as Message,
        metadataOf(options),
      );
      const cancel = () => call.cancel();
      signal.addEventListener("abort", cancel);
      try {
        for await (const message of call) yield message as never;
      } catch (error) {
        throw failureOf(error as ServiceError);
      } finally {
        signal.removeEventListener("abort", cancel);
      }
    },
    close: () => client.close(),
  };
  return rpc;
});

function failureOf(error: ServiceError): unknown {
  if (typeof error.code !== "number") return error;
  const [status] = error.metadata.get("grpc-status-details-bin");
  const detail = Buffer.isBuffer(status) ? detailOf(status) : undefined;
  return new RpcFailure(codeNames[error.code] ?? String(error.code), error.details, detail);
}

/** The StreamDiagnostic in a google.rpc.Status, whose details are field 3. */
function detailOf(status: Uint8Array): StreamDiagnostic | undefined {
  const reader = new BinaryReader(status);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field !== 3) {
      reader.skip(type);
      continue;
    }
    const detail = anyUnpack(fromBinary(AnySchema, reader.bytes()), StreamDiagnosticSchema);
    if (detail !== undefined) return detail;
  }
  return undefined;
}

function metadataOf({ headers = {} }: CallOptions): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}
