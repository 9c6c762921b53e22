import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect as connectHttp2, type IncomingHttpHeaders as Http2Headers } from "node:http2";
import { connect as connectSocket } from "node:net";
import type { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { create, fromBinary, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  StartAt,
  WatchEventsRequestSchema,
  WatchEventsResponseSchema,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { limits } from "../../src/base/limits.ts";
import { envelope } from "../../src/wire/envelope.ts";
import { type RpcServing, serveRpc, until } from "./serving.ts";

const path = "/tailrace.v1.EventStreamService/WatchEvents";
const message = create(WatchEventsRequestSchema, {
  workerIds: ["w"],
  start: { case: "startAt", value: StartAt.EARLIEST },
});
const binary = envelope(0, toBinary(WatchEventsRequestSchema, message));
const json = envelope(0, Buffer.from(toJsonString(WatchEventsRequestSchema, message)));

type Headers = Readonly<Record<string, string>>;

/** A request as it is on the wire: the parts of its body are sent one by one. */
interface RawRequest {
  readonly http: 1 | 2;
  readonly headers: Headers;
  readonly body: readonly Uint8Array[];
}

interface RawAnswer {
  readonly headers: IncomingHttpHeaders | Http2Headers;
  readonly trailers: unknown;
  /** The reasons and kinds of all frames; what is no frame, as it came. */
  readonly frames: readonly string[];
}

/** Asks, and reads until the answer ends or has said that the watch is live. */
async function ask(serving: RpcServing, { http, headers, body }: RawRequest): Promise<RawAnswer> {
  const asJson = headers["content-type"]?.includes("json") === true;
  let stream: Readable;
  let head: IncomingHttpHeaders | Http2Headers;
  let trailersOf: () => unknown;
  let close: () => void;
  if (http === 1) {
    const call = httpRequest(serving.h1 + path, { method: "POST", headers, agent: false });
    close = () => call.destroy();
    call.on("error", () => undefined);
    const response = new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
      call.once("response", resolve).once("error", reject);
    });
    for (const part of body) await new Promise((resolve) => call.write(part, resolve));
    call.end();
    const answer = await response;
    stream = answer;
    head = { ...answer.headers, status: String(answer.statusCode) };
    trailersOf = () => ({ ...answer.trailers });
  } else {
    const session = connectHttp2(serving.h2);
    session.on("error", () => undefined);
    close = () => session.destroy();
    const call = session.request({ ...headers, ":method": "POST", ":path": path });
    call.on("error", () => undefined);
    let trailers: unknown = {};
    call.on("trailers", (values) => {
      trailers = { ...values };
    });
    const response = new Promise<Http2Headers>((resolve) => call.once("response", resolve));
    for (const part of body) await new Promise((resolve) => call.write(part, resolve));
    call.end();
    head = { ...(await response) };
    stream = call;
    trailersOf = () => trailers;
  }
  onTestFinished(close);
  const frames: string[] = [];
  let rest: Buffer = Buffer.alloc(0);
  let live = false;
  stream.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      frames.push(
        rest[0] === 0 ? frameOf(rest.subarray(5, end), asJson) : `${rest[0]} ${rest.toString("utf8", 5, end)}`,
      );
      live ||= frames.at(-1) === "caughtUp";
      rest = rest.subarray(end);
    }
  });
  let ended = false;
  stream.on("end", () => {
    ended = true;
  });
  stream.on("close", () => {
    ended = true;
  });
  await until(() => live || ended, "it is live, or over");
  const answer = { headers: { ...head }, trailers: trailersOf(), frames: [...frames, rest.toString("utf8")] };
  delete answer.headers.date;
  close();
  await until(() => serving.runtime.watches === 0, "the watch is gone");
  return answer;
}

function frameOf(bytes: Buffer, asJson: boolean): string {
  const { frame } = asJson
    ? fromJsonString(WatchEventsResponseSchema, bytes.toString("utf8"))
    : fromBinary(WatchEventsResponseSchema, bytes);
  if (frame.case === "diagnostic") return frame.value.reason.case ?? "";
  return frame.case === "events" ? `${frame.value.events.length} events` : (frame.case ?? "");
}

const connectBinary = { "content-type": "application/connect+proto", "connect-protocol-version": "1" };
const connectJson = { "content-type": "application/connect+json", "connect-protocol-version": "1" };

const plain: Readonly<Record<string, RawRequest>> = {
  "Connect over HTTP/1.1": { http: 1, headers: connectBinary, body: [binary] },
  "Connect JSON over HTTP/1.1": { http: 1, headers: connectJson, body: [json] },
  "Connect over HTTP/2": { http: 2, headers: connectBinary, body: [binary] },
  "Connect JSON over HTTP/2": { http: 2, headers: connectJson, body: [json] },
  gRPC: { http: 2, headers: { "content-type": "application/grpc", te: "trailers" }, body: [binary] },
  "gRPC with JSON": { http: 2, headers: { "content-type": "application/grpc+json", te: "trailers" }, body: [json] },
  "gRPC-Web": { http: 1, headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" }, body: [binary] },
};

/** The same changed into something that Connect has to look at itself. */
const changes: Readonly<Record<string, (request: RawRequest) => RawRequest>> = {
  "in pieces": (request) => ({
    ...request,
    body: [...Buffer.concat([...request.body])].map((byte) => Buffer.of(byte)),
  }),
  "for a worker that does not exist": (request) => {
    const missing = create(WatchEventsRequestSchema, { workerIds: ["nobody"] });
    const asJson = request.headers["content-type"]?.includes("json") === true;
    const bytes = asJson
      ? Buffer.from(toJsonString(WatchEventsRequestSchema, missing))
      : toBinary(WatchEventsRequestSchema, missing);
    return { ...request, body: [envelope(0, bytes)] };
  },
  "with a deadline": (request) => ({
    ...request,
    headers: { ...request.headers, "connect-timeout-ms": "60000", "grpc-timeout": "60S" },
  }),
  "with a deadline that is none": (request) => ({
    ...request,
    headers: { ...request.headers, "connect-timeout-ms": "soon", "grpc-timeout": "soon" },
  }),
  "in an encoding that is not known": (request) => ({
    ...request,
    headers: { ...request.headers, "connect-content-encoding": "gzip", "grpc-encoding": "gzip" },
    body: [envelope(1, gzipSync(Buffer.concat([...request.body]).subarray(5)))],
  }),
  "that takes compressed answers": (request) => ({
    ...request,
    headers: {
      ...request.headers,
      "connect-accept-encoding": "gzip",
      "grpc-accept-encoding": "gzip",
      "accept-encoding": "br",
    },
  }),
  "without a body": (request) => ({ ...request, body: [] }),
  "that is no message": (request) => ({ ...request, body: [envelope(0, Buffer.from("\xff\xff{"))] }),
  "with a field that is not known": (request) => ({
    ...request,
    body: [envelope(0, Buffer.from('{"workerIdz":["w"]}'))],
  }),
  "that is cut off": (request) => ({ ...request, body: [Buffer.concat([...request.body]).subarray(0, -1)] }),
  "with two messages": (request) => ({ ...request, body: [...request.body, ...request.body] }),
  "with flags": (request) => ({ ...request, body: [envelope(2, Buffer.concat([...request.body]).subarray(5))] }),
  "that is larger than a small one": (request) => {
    // Too many workers, and all of them are named in the answer's absence only.
    const large = create(WatchEventsRequestSchema, { workerIds: Array.from({ length: 300 }, () => "w".repeat(250)) });
    const asJson = request.headers["content-type"]?.includes("json") === true;
    const bytes = asJson
      ? Buffer.from(toJsonString(WatchEventsRequestSchema, large))
      : toBinary(WatchEventsRequestSchema, large);
    return { ...request, body: [envelope(0, bytes)] };
  },
  "that is larger than allowed": (request) => ({
    ...request,
    headers:
      request.http === 1
        ? { ...request.headers, "content-length": String(limits.maxRequestBytes + 1) }
        : request.headers,
    body: request.http === 1 ? [Buffer.alloc(10)] : [envelope(0, Buffer.alloc(limits.maxRequestBytes + 1))],
  }),
};

describe.each(Object.entries(plain))("a request by %s that is like one before", (_, request) => {
  async function serveWorker(): Promise<RpcServing> {
    const serving = await serveRpc();
    await serving.runtime.worker("w").stdout("hello");
    return serving;
  }

  test("is answered as Connect answered that", async () => {
    const serving = await serveWorker();
    const first = await ask(serving, request);
    expect(first.frames).toEqual(["opened", "2 events", "caughtUp", ""]);
    expect(await ask(serving, request)).toEqual(first);
    expect(await ask(serving, request)).toEqual(first);
  });

  test.each(Object.entries(changes))("and %s is answered by Connect", async (_change, change) => {
    const serving = await serveWorker();
    const changed = change(request);
    const expected = await ask(serving, changed);
    const plainAnswer = await ask(serving, request);
    expect(await ask(serving, changed)).toEqual(expected);
    // And changes nothing for those that follow.
    expect(await ask(serving, request)).toEqual(plainAnswer);
    expect(await ask(serving, changed)).toEqual(expected);
  });
});

test("whoever wants to see requests sees every one of them", async () => {
  let seen = 0;
  const serving = await serveRpc({
    interceptors: [
      (next) => (call) => {
        seen++;
        return next(call);
      },
    ],
  });
  await serving.runtime.worker("w").stdout("hello");
  for (let i = 0; i < 3; i++) await ask(serving, plain["Connect over HTTP/1.1"] as RawRequest);
  expect(seen).toBe(3);
});

test("a deadline ends a watch also where others had none", async () => {
  const serving = await serveRpc();
  await serving.runtime.worker("w").stdout("hello");
  const request = plain["Connect over HTTP/1.1"] as RawRequest;
  await ask(serving, request);
  const call = httpRequest(serving.h1 + path, {
    method: "POST",
    headers: { ...request.headers, "connect-timeout-ms": "200" },
    agent: false,
  });
  call.end(binary);
  const text = await new Promise<string>((resolve) => {
    call.once("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    });
  });
  expect(text).toContain("deadline_exceeded");
});

test("a caller that leaves in the middle of its request leaves nothing behind", async () => {
  const serving = await serveRpc();
  await serving.runtime.worker("w").stdout("hello");
  await ask(serving, plain["Connect over HTTP/1.1"] as RawRequest);
  const { port, hostname } = new URL(serving.h1);
  const socket = connectSocket(Number(port), hostname);
  socket.on("error", () => undefined);
  const headers = "content-type: application/connect+proto\r\nconnect-protocol-version: 1\r\n";
  socket.write(`POST ${path} HTTP/1.1\r\nhost: localhost\r\n${headers}content-length: ${binary.length}\r\n\r\n`);
  socket.write(binary.subarray(0, 3));
  await until(() => serving.sockets.size > 0, "it is connected");
  await new Promise((resolve) => setImmediate(resolve));
  socket.resetAndDestroy();
  await until(() => serving.sockets.size === 0, "the socket is gone");
  expect(serving.runtime.watches).toBe(0);
});
