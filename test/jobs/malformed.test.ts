import { Agent } from "node:http";
import { connect } from "node:http2";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it, onTestFinished } from "vitest";
import { type StreamDiagnostic, StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { limits } from "../../src/base/limits.ts";
import type { StandardSchemaV1 } from "../../src/runtime/jobs/standard-schema.ts";
import { serve } from "../support/serving.ts";
import { until } from "../support/until.ts";
import { type Answer, type Attempt, send } from "./malformed/attempt.ts";
import { wrongProtocol } from "./malformed/protocols.ts";
import { wrongRequests } from "./malformed/routes.ts";
import { wrongMessages } from "./malformed/rpcs.ts";
import { readSimple, registerOperations, request, submit } from "./world.ts";

const attempts = 2_000;

/** Parameters of `tell`: a list of texts. */
const texts: StandardSchemaV1<unknown, { texts: string[] }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => {
      const given = (value as { texts?: unknown }).texts;
      return Array.isArray(given) && given.every((text) => typeof text === "string")
        ? { value: value as { texts: string[] } }
        : { issues: [{ message: "must be a list of texts", path: ["texts"] }] };
    },
  },
};

it(`${attempts} malformed requests get a typed refusal each, and the server is well`, {
  timeout: 900_000,
}, async () => {
  const { runtime, server, faults } = await serve();
  const operations = registerOperations(runtime, { tell: texts });
  await runtime.worker("w").stdout("x");
  const jobId = await submit(server.url, { operation: "hold" });
  await operations.running(jobId);
  const head = () => runtime.log.bounds({ kind: "runtime" }).head.sequence;
  const before = head();

  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const session = connect(server.url);
  onTestFinished(() => {
    agent.destroy();
    session.destroy();
  });
  const { port } = server.address;
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(wrongRequests({ workerId: "w", jobId }), wrongMessages, wrongProtocol),
      async (attempt) => {
        check(attempt, await send(attempt, port, agent, session));
      },
    ),
    // A seed that is given makes the run the same everywhere.
    { numRuns: attempts, seed: 20_261_126, endOnFailure: true },
  );

  // Nothing happened, nothing is left, and everything works.
  expect(faults).toEqual([]);
  expect(head()).toBe(before);
  await until(() => runtime.watches === 0, "every watch to end");
  expect((await request("GET", `${server.url}/readyz`)).body).toEqual({ ready: true, reasons: [] });
  expect((await request("GET", `${server.url}/v1/jobs`)).body.jobs).toHaveLength(1);
  const next = await submit(server.url, { operation: "tell", params: { texts: ["still here"] } });
  expect((await readSimple(`${server.url}/v1/jobs/${next}/stream`)).marker).toBe("[DONE]");
  operations.release(jobId);
  expect((await readSimple(`${server.url}/v1/jobs/${jobId}/stream`)).marker).toBe("[DONE]");
});

it.each([
  ["announced", (blob: Blob): NonNullable<RequestInit["body"]> => blob],
  ["not announced", (blob: Blob): NonNullable<RequestInit["body"]> => blob.stream()],
])("a body that is too large, its length %s, is limit_exceeded", async (_how, toBody) => {
  const { server } = await serve();
  const body = toBody(new Blob([" ".repeat(limits.maxRequestBytes + 1)]));
  const init = { method: "POST", body, duplex: "half", headers: { "content-type": "application/json" } };
  const answer = await fetch(`${server.url}/v1/jobs`, init as RequestInit);
  expect(answer.status).toBe(429);
  expect(((await answer.json()) as { diagnostic: object }).diagnostic).toMatchObject({
    limitExceeded: { limit: "max_request_bytes", maximum: String(limits.maxRequestBytes) },
  });
});

/** Statuses of gRPC that blame the caller. */
const callersFault = new Set([3, 5, 6, 7, 8, 9, 11, 12, 16]);

/** Says what an attempt was where an expectation fails. */
function check(attempt: Attempt, answer: Answer): void {
  const { status, headers, body } = answer;
  const what = `${attempt.method} ${attempt.path.slice(0, 300)} ${JSON.stringify(attempt.headers)} ${Buffer.from(
    attempt.body ?? [],
  )
    .toString()
    .slice(0, 300)}\nwas answered ${status} ${body.toString().slice(0, 1_000)}`;
  const type = headers["content-type"] ?? "";
  // Nobody gets back all that was sent, to fill logs with.
  expect(body.length, what).toBeLessThan(16 * 1024);
  switch (attempt.expected) {
    case "problem":
    case "plain problem": {
      expect([type, status >= 400 && status < 500], what).toEqual(["application/problem+json", true]);
      if (attempt.method === "HEAD") return;
      const problem = JSON.parse(body.toString());
      expect([problem.status, typeof problem.title, typeof problem.detail], what).toEqual([status, "string", "string"]);
      if (attempt.expected === "problem") checkDiagnostic(problem.diagnostic, what);
      return;
    }
    case "diagnostic in the stream": {
      expect([type, status], what).toEqual(["text/event-stream", 200]);
      const [, data = "null"] = /^event: diagnostic\ndata: (.*)$/m.exec(body.toString()) ?? [];
      checkDiagnostic(JSON.parse(data), what);
      return;
    }
    case "connect error":
    case "plain connect error": {
      expect([type, status >= 400 && status < 500], what).toEqual(["application/json", true]);
      const typed = attempt.expected === "connect error";
      if (!typed) expect([404, 405, 415], what).toContain(status);
      checkConnectError(JSON.parse(body.toString()), typed, what);
      return;
    }
    case "connect stream error":
    case "plain connect stream error": {
      expect(status, what).toBe(200);
      // Frames, the last of which ends the stream.
      let at = 0;
      let end: { error?: unknown } = {};
      while (at < body.length) {
        const length = body.readUInt32BE(at + 1);
        if (body[at] === 2) end = JSON.parse(body.toString("utf8", at + 5, at + 5 + length));
        at += 5 + length;
      }
      checkConnectError(end.error, attempt.expected === "connect stream error", what);
      return;
    }
    case "grpc status":
    case "plain grpc status": {
      expect(status, what).toBe(200);
      const text = body.toString("latin1");
      const trailer = (name: string) =>
        answer.trailers[name] ?? headers[name] ?? new RegExp(`${name}: ?([^\\r\\n]+)`, "i").exec(text)?.[1];
      const said = Number(trailer("grpc-status"));
      expect(callersFault.has(said), `${what} with ${said}`).toBe(true);
      if (attempt.expected === "plain grpc status") return;
      const details = Buffer.from(String(trailer("grpc-status-details-bin")), "base64");
      expect(details.includes("tailrace.v1.StreamDiagnostic"), what).toBe(true);
    }
  }
}

function checkDiagnostic(json: JsonValue, what: string): StreamDiagnostic {
  expect(json, what).toBeDefined();
  const diagnostic = fromJson(StreamDiagnosticSchema, json);
  expect([diagnostic.reason.case !== undefined, diagnostic.reason.case !== "internal"], what).toEqual([true, true]);
  expect(diagnostic.message, what).not.toBe("");
  return diagnostic;
}

function checkConnectError(error: unknown, typed: boolean, what: string): void {
  const { code, message, details } = (error ?? {}) as { code?: string; message?: string; details?: { type: string }[] };
  expect([typeof code, typeof message], what).toEqual(["string", "string"]);
  expect(["internal", "unknown", "data_loss", "unavailable"].includes(code as string), what).toBe(false);
  if (typed)
    expect(
      details?.map((detail) => detail.type),
      what,
    ).toEqual(["tailrace.v1.StreamDiagnostic"]);
}
