import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { EventStreamService } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobService } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { PublisherService } from "../../../gen/tailrace/v1/publisher_service_pb.ts";
import { WorkerService } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import type { Attempt, Expected } from "./attempt.ts";
import { wrongJson, wrongSubmit } from "./bodies.ts";
import { tokensOfLists, wrongTokens } from "./page-tokens.ts";

const services: readonly DescService[] = [EventStreamService, JobService, PublisherService, WorkerService];
const methods = services.flatMap((service) => service.methods);
const unary = methods.filter(({ methodKind }) => methodKind === "unary");

const { watchEvents } = EventStreamService.method;
/** Those that can be called by GET. */
const reading = unary.filter(({ idempotency }) => idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS);

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function attempt(
  expected: Expected,
  method: DescMethod,
  type: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Attempt {
  return { expected, method: "POST", path: pathOf(method), headers: { "content-type": type, ...headers }, body };
}

/** Bytes that are no message: they begin with a tag of a wire type that there is not. */
const wrongBinary = fc.oneof(
  fc.uint8Array({ maxLength: 60 }).map((rest) => Buffer.concat([Buffer.from([0x0f]), rest])),
  // A length beyond the end, and a number that does not end.
  fc.constantFrom(Buffer.from([0x0a, 0x7f, 0x01]), Buffer.from([0x08, ...Array<number>(11).fill(0xff)])),
);

function enveloped(body: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** A request to watch in which nothing is wrong. */
const plainWatch = enveloped(Buffer.from("{}"));

const wrongEncodings = fc.oneof(
  fc.constantFrom("gzip", "br", "zstd", "deflate", "identity, gzip", "gzip, identity"),
  fc.stringMatching(/^[a-z]{1,12}$/).map((name) => `x-${name}`),
);
const wrongTimeouts = fc.constantFrom("soon", "-1", "1.5", "1e3", "12345678901", "5 s", "1d");

/** Requests for pages with tokens that no answer of the list had, which begin with this letter. */
function foreignTokens(own: string): { pageToken: string }[] {
  return [...wrongTokens, ...tokensOfLists.filter((token) => !token.startsWith(own))].map((pageToken) => ({
    pageToken,
  }));
}

/** What a request of one method means that means nothing. */
const meaningless: readonly (readonly [DescMethod, fc.Arbitrary<Uint8Array>])[] = [
  [JobService.method.submitJob, wrongSubmit],
  ...[JobService.method.getJob, JobService.method.startJob, JobService.method.cancelJob].map(
    (method) =>
      [
        method,
        fc
          .oneof(fc.constant(""), fc.string({ minLength: 1 }), fc.constant("x".repeat(300)))
          .map((jobId) => Buffer.from(JSON.stringify({ jobId }))),
      ] as const,
  ),
  [
    JobService.method.listJobs,
    fc
      .constantFrom(
        { states: ["ASLEEP"] },
        { states: [0] },
        { states: [99] },
        { pageSize: 1_001 },
        ...foreignTokens("j"),
      )
      .map((message) => Buffer.from(JSON.stringify(message))),
  ],
  [
    WorkerService.method.listWorkers,
    fc.constantFrom(...foreignTokens("w")).map((message) => Buffer.from(JSON.stringify(message))),
  ],
  [
    WorkerService.method.getTranscript,
    fc
      .constantFrom(
        {},
        { workerId: "nobody" },
        { workerId: "w", pageSize: 5_000 },
        ...foreignTokens("t").map((request) => ({ workerId: "w", ...request })),
      )
      .map((message) => Buffer.from(JSON.stringify(message))),
  ],
  [
    PublisherService.method.publishEvents,
    fc
      .constantFrom(
        {},
        { events: [{}] },
        { events: [{ narration: {}, jobId: "none" }] },
        { events: [{ jobStateChanged: { state: "JOB_STATE_SUCCEEDED" } }] },
        { events: [{ narration: {}, output: {} }] },
        { events: [{ output: { data: "no base 64!" } }] },
        { events: [{ narration: {}, workerId: "z".repeat(300) }] },
        { events: [{ narration: {} }], firstProducerSequence: "1" },
        { events: [{ narration: {}, sequence: "1" }] },
      )
      .map((message) => Buffer.from(JSON.stringify(message))),
  ],
];

/** Calls of RPCs, each with one thing wrong. */
export const wrongCalls: fc.Arbitrary<Attempt> = fc.oneof(
  fc
    .tuple(fc.constantFrom(...unary), wrongJson)
    .map(([method, body]) => attempt("connect error", method, "application/json", body)),
  fc
    .tuple(fc.constantFrom(...unary), wrongBinary)
    .map(([method, body]) => attempt("connect error", method, "application/proto", body)),
  fc
    .constantFrom(...meaningless)
    .chain(([method, bodies]) => bodies.map((body) => attempt("connect error", method, "application/json", body))),
  fc
    .tuple(fc.stringMatching(/^tj_[A-Za-z0-9_-]{0,50}$/), fc.constantFrom("application/json", "application/proto"))
    .map(([token, type]) => {
      const body = type.endsWith("json")
        ? Buffer.from('{"events":[{"narration":{}}]}')
        : Buffer.from("0a03b20300", "hex");
      return attempt("connect error", PublisherService.method.publishEvents, type, body, {
        authorization: `Bearer ${token}`,
      });
    }),
  // GET, for what has no side effects.
  fc
    .tuple(
      fc.constantFrom(...unary.filter(({ parent }) => parent !== PublisherService)),
      fc.constantFrom("json", "proto"),
      fc.uint8Array({ maxLength: 40 }),
    )
    .map(([method, encoding, rest]): Attempt => {
      const message = Buffer.concat([Buffer.from([0x0f]), rest]).toString("base64url");
      const path = `${pathOf(method)}?connect=v1&encoding=${encoding}&base64=1&message=${message}`;
      const expected = method.idempotency === 1 ? "connect error" : "plain connect error";
      return { expected, method: "GET", path, headers: {}, body: undefined };
    }),
  // Frames of a stream that are none, or hold nothing that can be read.
  fc
    .tuple(fc.constantFrom("json", "proto"), fc.oneof(wrongJson, wrongBinary), fc.boolean())
    .filter(([type, body, framed]) => !framed || type === "json" || body[0] === 0x0f)
    .filter(([type, body, framed]) => !framed || type === "proto" || body[0] !== 0x0f)
    .map(([type, body, framed]) =>
      attempt(
        framed ? "connect stream error" : "plain connect stream error",
        watchEvents,
        `application/connect+${type}`,
        framed ? enveloped(body) : body.subarray(0, 4),
      ),
    ),
  // gRPC, whole and cut.
  fc
    .tuple(
      fc.constantFrom(...methods),
      fc.constantFrom(
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web",
        "application/grpc-web+proto",
      ),
      wrongBinary,
      fc.boolean(),
    )
    .map(([method, type, body, cut]) => ({
      ...attempt(
        cut ? "plain grpc status" : "grpc status",
        method,
        type,
        cut ? enveloped(body).subarray(0, 5) : enveloped(body),
        {
          te: "trailers",
        },
      ),
      http2: true,
    })),
  // Encodings that nothing here reads, of contents that are right.
  fc
    .tuple(fc.constantFrom(...unary), fc.constantFrom("json", "proto"), wrongEncodings)
    .map(([method, type, encoding]) =>
      attempt("connect error", method, `application/${type}`, type === "json" ? Buffer.from("{}") : Buffer.alloc(0), {
        "content-encoding": encoding,
      }),
    ),
  fc.tuple(fc.constantFrom(...reading), wrongEncodings).map(([method, encoding]): Attempt => {
    const query = `connect=v1&encoding=json&message=%7B%7D&compression=${encodeURIComponent(encoding)}`;
    return {
      expected: "connect error",
      method: "GET",
      path: `${pathOf(method)}?${query}`,
      headers: {},
      body: undefined,
    };
  }),
  wrongEncodings.map((encoding) =>
    attempt("connect error", watchEvents, "application/connect+json", plainWatch, { "content-encoding": encoding }),
  ),
  wrongEncodings.map((encoding) =>
    attempt("connect stream error", watchEvents, "application/connect+json", plainWatch, {
      "connect-content-encoding": encoding,
    }),
  ),
  fc
    .tuple(
      fc.constantFrom(...methods),
      fc.constantFrom("application/grpc", "application/grpc-web+proto"),
      fc.constantFrom("grpc-encoding", "content-encoding"),
      wrongEncodings,
    )
    .map(([method, type, name, encoding]) => ({
      ...attempt("grpc status", method, type, enveloped(Buffer.alloc(0)), { te: "trailers", [name]: encoding }),
      http2: true,
    })),
  // The protocols' own words.
  fc
    .tuple(fc.constantFrom(...unary), wrongTimeouts)
    .map(([method, timeout]) =>
      attempt("connect error", method, "application/json", Buffer.from("{}"), { "connect-timeout-ms": timeout }),
    ),
  wrongTimeouts.map((timeout) =>
    attempt("connect stream error", watchEvents, "application/connect+json", plainWatch, {
      "connect-timeout-ms": timeout,
    }),
  ),
  fc.tuple(fc.constantFrom(...methods), wrongTimeouts).map(([method, timeout]) => ({
    ...attempt("grpc status", method, "application/grpc", enveloped(Buffer.alloc(0)), { "grpc-timeout": timeout }),
    http2: true,
  })),
  fc.tuple(fc.constantFrom(...reading), fc.constantFrom("", "xml", "JSON")).map(([method, encoding]): Attempt => {
    const path = `${pathOf(method)}?connect=v1&encoding=${encoding}&message=%7B%7D`;
    return { expected: "connect error", method: "GET", path, headers: {}, body: undefined };
  }),
  fc
    .tuple(
      fc.constantFrom(...unary),
      fc.constantFrom<Record<string, string>[]>(
        { origin: "https://evil.example" },
        { host: "evil.example" },
        { host: "evil.example", "content-encoding": "gzip" },
      ),
    )
    .map(([method, headers]) => attempt("connect error", method, "application/json", Buffer.from("{}"), headers)),
  // What is not called like that.
  fc
    .tuple(
      fc.constantFrom(...unary),
      fc.constantFrom(
        "application/connect+json",
        "application/json; charset=latin1",
        "application/json; charset=utf-16",
      ),
    )
    .map(([method, type]) => attempt("plain connect error", method, type, Buffer.from("{}"))),
  fc
    .constantFrom("application/json", "application/proto", "application/connect+proto; charset=x")
    .map((type) => attempt("plain connect error", watchEvents, type, Buffer.from("{}"))),
  fc
    .tuple(fc.constantFrom(...methods), fc.constantFrom("text/plain", "application/xml", "application/grpcx"))
    .map(([method, type]) => attempt("plain problem", method, type, Buffer.from("{}"))),
  fc.tuple(fc.constantFrom(...methods), fc.constantFrom("PUT", "PATCH", "PROPFIND")).map(([method, verb]) => ({
    ...attempt("plain connect error", method, "application/json", Buffer.from("{}")),
    method: verb,
  })),
  fc.constantFrom(...methods.filter((method) => !reading.includes(method))).map(
    (method): Attempt => ({
      expected: "plain problem",
      method: "GET",
      path: pathOf(method),
      headers: {},
      body: undefined,
    }),
  ),
  fc
    .tuple(
      fc.constantFrom(...services),
      fc.stringMatching(/^[A-Z][a-z]{1,9}$/),
      fc.constantFrom("application/json", "application/connect+proto", "application/grpc"),
    )
    .map(([service, name, type]): Attempt => {
      const expected = type === "application/grpc" ? "plain problem" : "plain connect error";
      const headers = { "content-type": type };
      return { expected, method: "POST", path: `/${service.typeName}/${name}X`, headers, body: undefined };
    }),
);
