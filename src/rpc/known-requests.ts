import { fromBinary, fromJsonString } from "@bufbuild/protobuf";
import { type WatchEventsRequest, WatchEventsRequestSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { limits } from "../base/limits.ts";
import { envelopeHeaderBytes } from "../wire/envelope.ts";
import type { AnswerHead, HttpRequest } from "./http.ts";

/** Headers that Connect looks at for more than what they say of the answer's form: such a request always goes to it. */
const decisive = [
  "connect-timeout-ms",
  "grpc-timeout",
  "connect-content-encoding",
  "grpc-encoding",
  "content-encoding",
];
/** The rest of what it looks at. */
const descriptive = [
  "content-type",
  "connect-protocol-version",
  "connect-accept-encoding",
  "grpc-accept-encoding",
  "accept-encoding",
  "te",
];

/** Kinds of requests that are remembered, and characters of what tells one from another. A client has one or two. */
const maxKinds = 64;
const maxKeyLength = 512;

/**
 * Remembers what Connect decided on requests to watch. It comes to the same for all requests that say the same of
 * themselves, while its pipeline leaves 60 KB to the collector for each: most of what admitting a watch costs, in time and
 * in memory that stays spread out. Whatever is out of the ordinary in headers or body is left to Connect.
 */
export class KnownRequests {
  readonly #heads = new Map<string, AnswerHead>();

  /** How Connect answers requests like this one; undefined: it has to be asked. */
  headFor(request: HttpRequest): AnswerHead | undefined {
    if (this.#heads.size === 0) return undefined;
    const key = keyOf(request);
    return key === undefined ? undefined : this.#heads.get(key);
  }

  /** Remembers how Connect answered a request that it let through. */
  learn(request: HttpRequest, head: AnswerHead): void {
    const key = this.#heads.size < maxKinds ? keyOf(request) : undefined;
    if (key !== undefined) this.#heads.set(key, head);
  }
}

function keyOf({ httpVersionMajor, method, headers }: HttpRequest): string | undefined {
  if (method !== "POST") return undefined;
  // What is too large is refused before it is read.
  if (Number(headers["content-length"] ?? 0) > limits.maxPlainRequestBytes) return undefined;
  for (const name of decisive) if (headers[name] !== undefined) return undefined;
  let key = String(httpVersionMajor);
  for (const name of descriptive) key += `\n${headers[name] ?? ""}`;
  return key.length > maxKeyLength ? undefined : key;
}

/** The only message of a body in its envelope; undefined: it is not as plain as that. */
export function plainRequest(body: Uint8Array, json: boolean): WatchEventsRequest | undefined {
  const length = body.length - envelopeHeaderBytes;
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  if (length < 0 || view.getUint8(0) !== 0 || view.getUint32(1) !== length) return undefined;
  const message = body.subarray(envelopeHeaderBytes);
  try {
    if (!json) return fromBinary(WatchEventsRequestSchema, message);
    return fromJsonString(WatchEventsRequestSchema, new TextDecoder().decode(message), { ignoreUnknownFields: false });
  } catch {
    return undefined;
  }
}

/** What was read of a body, and whether that is all of it. */
export interface ReadBody {
  readonly bytes: Uint8Array;
  readonly complete: boolean;
}

/** Reads a body as long as it is a small one. Undefined: the caller has left. */
export function readSmallBody(request: HttpRequest): Promise<ReadBody | undefined> {
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const settle = (body: ReadBody | undefined): void => {
      request.off("data", data);
      request.off("end", end);
      request.off("close", left);
      request.off("error", left);
      resolve(body);
    };
    const whole = (): Uint8Array => (chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks));
    const data = (chunk: Uint8Array): void => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes <= limits.maxPlainRequestBytes) return;
      request.pause();
      settle({ bytes: whole(), complete: false });
    };
    const end = (): void => settle({ bytes: whole(), complete: true });
    const left = (): void => settle(undefined);
    request.on("data", data);
    request.on("end", end);
    request.on("close", left);
    request.on("error", left);
  });
}

/** A body of which some was read already. */
export async function* bodyFrom(read: ReadBody, request: HttpRequest): AsyncIterable<Uint8Array> {
  if (read.bytes.length > 0) yield read.bytes;
  if (!read.complete) yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
}
