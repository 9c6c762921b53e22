import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { type ProblemDetails, type Reason, TailraceError } from "../../src/base/errors.ts";
import { serviceNames } from "../../src/base/services.ts";
import { CursorCodec, origin } from "../../src/events/cursor.ts";
import type { GatewayRuntime } from "../../src/gateway/context.ts";
import { createGateway } from "../../src/gateway/gateway.ts";
import { openSse } from "../support/sse-reader.ts";

const secret = "/home/someone/secret-path";

/** A gateway over a runtime that refuses everything in one way. */
async function refusing(error: unknown): Promise<{ url: string; reported: [unknown, string | undefined][] }> {
  const reported: [unknown, string | undefined][] = [];
  const fail = () => {
    throw error;
  };
  const runtime: GatewayRuntime = {
    cursors: new CursorCodec("refusing", 1n),
    timeMs: 0,
    openWatch: async () => fail(),
    listWorkers: fail,
    lookUp: async (read) => read(),
    getWorker: fail,
    getTranscript: async () => fail(),
    submitJob: async () => fail(),
    startJob: async () => fail(),
    cancelJob: async () => fail(),
    getJob: fail,
    listJobs: fail,
    health: () => ({
      available: false,
      sinceMs: 0,
      error: new TailraceError("log_unavailable", { sinceMs: 0, retryAfterMs: 1 }, "The log is full.", {
        cause: new Error(`${secret} is full`),
      }),
    }),
  };
  const server = createServer(
    createGateway({
      runtime,
      services: new Set(serviceNames),
      clock: systemClock,
      stallTimeoutMs: 1_000,
      isClosing: () => true,
      report: (cause, incidentId) => reported.push([cause, incidentId]),
    }),
  );
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, reported };
}

type Row = { [R in Reason]: readonly [R, ProblemDetails[R], number, string | undefined, boolean] }[Reason];

/** Reason, details, status, `Retry-After`, and whether an EventSource is stopped for good. */
const rows: readonly Row[] = [
  ["invalid_request", { field: "f", description: "d" }, 400, undefined, true],
  ["cursor_malformed", { description: "d" }, 400, undefined, true],
  ["cursor_unknown", { cause: "beyond_head" }, 409, undefined, true],
  ["worker_not_found", { workerId: "w" }, 404, undefined, true],
  ["job_not_found", { jobId: "j" }, 404, undefined, true],
  ["log_unavailable", { sinceMs: 1, retryAfterMs: 1_500 }, 503, "2", false],
  ["server_closing", { retryAfterMs: 0 }, 503, "1", false],
  ["access_expired", {}, 401, undefined, true],
  ["access_denied", { grant: "observe" }, 403, undefined, true],
  ["limit_exceeded", { limit: "max_watches", maximum: 3, retryAfterMs: 1_000 }, 429, "1", false],
  ["limit_exceeded", { limit: "max_id_bytes", maximum: 3 }, 429, undefined, true],
  ["job_ended", { jobId: "j", state: "cancelled" }, 409, undefined, true],
  ["producer_conflict", { expectedProducerSequence: 3, description: "d" }, 409, undefined, true],
  ["producer_unknown", { producerId: "p" }, 409, undefined, true],
  ["internal", { incidentId: "i" }, 500, undefined, true],
  ["log_open_failed", { cause: "locked" }, 503, undefined, true],
  [
    "cursor_expired",
    { requestedCursor: "r", earliestCursor: "e", latestCursor: "l", lostEvents: 3, lostExact: false },
    410,
    undefined,
    true,
  ],
];

const requests = [
  ["GET", "/v1/events", null],
  ["GET", "/v1/workers", null],
  ["GET", "/v1/workers/w", null],
  ["GET", "/v1/workers/w/transcript", null],
  ["GET", "/v1/workers/w/events", null],
  ["GET", "/v1/jobs", null],
  ["POST", "/v1/jobs", "{}"],
  ["GET", "/v1/jobs/j", null],
  ["DELETE", "/v1/jobs/j", null],
  ["POST", "/v1/jobs/j/start", null],
  ["GET", "/v1/jobs/j/events", null],
  ["GET", "/v1/jobs/j/stream", null],
] as const;

describe.each(rows)("%s", (reason, details, status, retryAfter, stops) => {
  const error = new TailraceError(reason, details as never, "what to do", { cause: new Error(secret) });

  it(`is status ${status} on every route that meets it`, async () => {
    const { url } = await refusing(error);
    for (const [method, path, body] of requests) {
      const answer = await fetch(url + path, { method, body, headers: { "content-type": "application/json" } });
      const text = await answer.text();
      expect(answer.status).toBe(status);
      expect(answer.headers.get("retry-after")).toBe(retryAfter ?? null);
      expect(JSON.parse(text).status).toBe(status);
      expect(text).not.toContain(secret);
      expect(text).not.toContain("stack");
    }
  });

  it(`${stops ? "stops" : "does not stop"} an EventSource that reconnects`, async () => {
    const { url } = await refusing(error);
    const cursors = new CursorCodec("refusing", 1n);
    const came = cursors.encode({
      sequence: 5,
      ordinal: 5,
      workerHash: 0,
      workerOrdinal: 0,
      jobHash: 0,
      jobOrdinal: 0,
    });
    const reader = await openSse(`${url}/v1/events`, { headers: { "last-event-id": came } });
    const [message] = await reader.rest();
    expect([reader.status, message?.event]).toEqual([200, "diagnostic"]);
    expect(cursors.decode(message?.id ?? "").closing).toBe(stops);
    if (!stops) expect(message?.id).toBe(came);
  });

  it(`${stops ? "stops" : "does not stop"} one of the simple stream of a job`, async () => {
    const { url } = await refusing(error);
    const cursors = new CursorCodec("refusing", 1n);
    const came = cursors.encode(origin);
    const reader = await openSse(`${url}/v1/jobs/j/stream`, { headers: { "last-event-id": came } });
    const messages = await reader.rest();
    expect(reader.status).toBe(200);
    if (stops) {
      const [diagnostic, marker] = messages;
      expect([diagnostic?.event, marker?.event]).toEqual(["diagnostic", undefined]);
      expect(marker?.data).toMatch(/^\[ERROR\] \S/);
      expect(cursors.decode(marker?.id ?? "").closing).toBe(true);
    } else {
      expect(messages).toEqual([]);
      expect(reader.text).toContain(`\nid: ${came}\n\n`);
      expect(reader.retries).toHaveLength(1);
    }
  });
});

describe("a fault", () => {
  it("is reported under the incident id that the client is told, and nothing else of it leaves", async () => {
    const cause = new TypeError(`cannot open ${secret}`);
    const { url, reported } = await refusing(cause);
    const answer = await openSse(`${url}/v1/events`);
    const body = await answer.body();
    expect(answer.status).toBe(500);
    const { incidentId } = JSON.parse(body).diagnostic.internal;
    expect(reported).toEqual([[cause, incidentId]]);
    expect(body).not.toContain(secret);
    expect(body).not.toContain("TypeError");
  });
});

describe("readiness", () => {
  it("says every reason why not, and no path of the host", async () => {
    const { url } = await refusing(new Error("unused"));
    const answer = await openSse(`${url}/readyz`);
    const body = await answer.body();
    expect(answer.status).toBe(503);
    expect(JSON.parse(body)).toEqual({
      ready: false,
      reasons: [
        { reason: "server_closing", message: "The server is closing." },
        { reason: "log_unavailable", message: "The log is full.", since: "1970-01-01T00:00:00.000Z" },
      ],
    });
    expect(body).not.toContain(secret);
  });
});

describe("a header that is no cursor", () => {
  it("is never echoed", async () => {
    const { url } = await refusing(new TailraceError("server_closing", { retryAfterMs: 1 }, "closing"));
    const reader = await openSse(`${url}/v1/events`, { headers: { "last-event-id": "forged-by-a-client" } });
    await reader.rest();
    expect(reader.text).not.toContain("forged-by-a-client");
    expect(reader.text).not.toMatch(/^id:/m);
  });
});
