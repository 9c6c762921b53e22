import fc from "fast-check";
import type { Attempt } from "./attempt.ts";
import { attempt, enveloped, methods, pathOf, reading, services, unary, watchEvents } from "./calls.ts";

/** A request to watch in which nothing is wrong. */
const plainWatch = enveloped(Buffer.from("{}"));

const wrongEncodings = fc.oneof(
  fc.constantFrom("gzip", "br", "zstd", "deflate", "identity, gzip", "gzip, identity"),
  fc.stringMatching(/^[a-z]{1,12}$/).map((name) => `x-${name}`),
);
const wrongTimeouts = fc.constantFrom("soon", "-1", "1.5", "1e3", "12345678901", "5 s", "1d");

/** Queries of a GET that hold no message. */
const wrongQueries = [
  ...["", "xml", "JSON"].map((encoding) => `encoding=${encoding}&message=%7B%7D`),
  ...["!!!!", "e30!", "e", "%00"].flatMap((message) => [
    `encoding=json&base64=1&message=${message}`,
    `encoding=proto&base64=1&message=${message}`,
  ]),
  "message=%7B%7D",
  "encoding=json",
  "encoding=json&message=%FF",
];

/** Calls whose headers, query, method or path are wrong, whatever their message. */
export const wrongProtocol: fc.Arbitrary<Attempt> = fc.oneof(
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
  fc.tuple(fc.constantFrom(...reading), fc.constantFrom(...wrongQueries)).map(([method, query]): Attempt => {
    const path = `${pathOf(method)}?connect=v1&${query}`;
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
