import type { DescMethod } from "@bufbuild/protobuf";
import fc from "fast-check";
import { JobService } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { PublisherService } from "../../../gen/tailrace/v1/publisher_service_pb.ts";
import { WorkerService } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import type { Attempt } from "./attempt.ts";
import { wrongJson, wrongSubmit } from "./bodies.ts";
import { attempt, enveloped, methods, pathOf, unary, watchEvents } from "./calls.ts";
import { tokensOfLists, wrongTokens } from "./page-tokens.ts";

/** Bytes that are no message: they begin with a tag of a wire type that there is not. */
const wrongBinary = fc.oneof(
  fc.uint8Array({ maxLength: 60 }).map((rest) => Buffer.concat([Buffer.from([0x0f]), rest])),
  // A length beyond the end, and a number that does not end.
  fc.constantFrom(Buffer.from([0x0a, 0x7f, 0x01]), Buffer.from([0x08, ...Array<number>(11).fill(0xff)])),
);

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

/** Calls of RPCs whose message is wrong. */
export const wrongMessages: fc.Arbitrary<Attempt> = fc.oneof(
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
);
