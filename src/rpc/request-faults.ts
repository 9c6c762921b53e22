import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import { invalidRequest, type TailraceError } from "../base/errors.ts";
import { envelopeHeaderBytes } from "../wire/envelope.ts";
import { findJsonFault } from "../wire/json-fault.ts";

/**
 * Why a request that no implementation has seen can't be decoded, by the name of its field; undefined: it can, or was
 * refused for something else. Connect says it in words only. `body`: what was read of it.
 */
export function findDecodeFault(
  schema: DescMessage,
  request: UniversalServerRequest,
  body: { readonly bytes: Uint8Array; readonly complete: boolean },
): TailraceError<"invalid_request"> | undefined {
  if (request.method === "GET") {
    const query = new URL(request.url).searchParams;
    let message: Uint8Array = Buffer.from(query.get("message") ?? "");
    if (query.get("base64") === "1") {
      try {
        // As Connect does it: Node's own takes anything for base64.
        message = base64Decode(query.get("message") ?? "");
      } catch {
        return invalidRequest("message", "it is no base64");
      }
    }
    return query.get("encoding") === "json" ? findJsonFault(schema, message) : findBinaryFault(schema, message);
  }
  const contentType = request.header.get("content-type") ?? "";
  let { bytes, complete } = body;
  if (/^application\/(?:connect\+|grpc)/.test(contentType)) {
    if (bytes.length < envelopeHeaderBytes || bytes[0] !== 0) return undefined;
    const length = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32BE(1);
    bytes = bytes.subarray(envelopeHeaderBytes, envelopeHeaderBytes + length);
    complete = bytes.length === length;
  }
  // Of one that was cut, or refused before it was read, the contents are not the fault.
  if (!complete) return undefined;
  return contentType.includes("json") ? findJsonFault(schema, bytes) : findBinaryFault(schema, bytes);
}

function findBinaryFault(schema: DescMessage, message: Uint8Array): TailraceError<"invalid_request"> | undefined {
  try {
    fromBinary(schema, message);
    return undefined;
  } catch (error) {
    return invalidRequest("body", `it is no ${schema.typeName}: ${messageOf(error)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
