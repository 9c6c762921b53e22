import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { CursorUnknownCause, Severity, StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { WorkerOutcome } from "../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { type ProblemDetails, type Reason, TailraceError } from "../../src/base/errors.ts";
import { errorOfDiagnostic } from "../../src/client/failures.ts";
import { type NodeWatchOptions, type WatchStatus, watch } from "../../src/client/index.ts";
import { diagnosticOf } from "../../src/events/diagnostics.ts";
import { eventually } from "../support/until.ts";
import { ScriptedLog, startScriptedServer, type WatchScript } from "./scripted-server.ts";

type DiagnosticInit = MessageInitShape<typeof StreamDiagnosticSchema>;

const log = new ScriptedLog();
log.add(4);

const stops: { [R in Reason]?: ProblemDetails[R] } = {
  invalid_request: { field: "worker_ids[0]", description: "it is empty" },
  cursor_malformed: { description: "its checksum does not fit" },
  cursor_unknown: { cause: "beyond_head" },
  cursor_expired: {
    requestedCursor: log.cursor(1),
    earliestCursor: log.cursor(3),
    latestCursor: log.cursor(4),
    lostEvents: 2,
    lostExact: true,
  },
  worker_not_found: { workerId: "w" },
  job_not_found: { jobId: "j" },
  access_expired: {},
  access_denied: { grant: "observe" },
  limit_exceeded: { limit: "maxWatches", maximum: 5 },
};

const rides: { [R in Reason]?: ProblemDetails[R] } = {
  log_unavailable: { sinceMs: 1_700_000_000_000, retryAfterMs: 3_000 },
  server_closing: { retryAfterMs: 3_000 },
  limit_exceeded: { limit: "maxWatches", maximum: 5, retryAfterMs: 3_000 },
  internal: { incidentId: "i-1" },
};

const entries = (table: { [R in Reason]?: ProblemDetails[R] }) => Object.entries(table) as [Reason, object][];

function errorOf(reason: Reason, details: object): TailraceError {
  return new TailraceError(reason, details as never, `about ${reason}`, { cursor: log.cursor(4) });
}

/** Iterates to the end, and tells what was seen and how it ended. */
async function run(options: NodeWatchOptions) {
  const seen: number[] = [];
  const statuses: WatchStatus[] = [];
  const watched = watch({ ...options, onStatus: (status) => statuses.push(status) });
  let thrown: unknown;
  try {
    for await (const event of watched) seen.push(Number(event.sequence));
  } catch (error) {
    thrown = error;
  }
  return { seen, statuses, thrown, watched };
}

describe("a terminal reason", () => {
  it.each(entries(stops))(
    "%s as a frame stops the watch after the events before it, with all its details",
    async (reason, details) => {
      const server = await startScriptedServer({
        async *watch() {
          yield log.opened(0);
          yield log.batch(0, 4);
          yield { case: "diagnostic", value: diagnosticOf(errorOf(reason, details)) };
        },
      });
      const { seen, thrown, watched } = await run({ baseUrl: server.url });
      expect(seen).toEqual([1, 2, 3, 4]);
      expect(thrown).toBeInstanceOf(TailraceError);
      expect(thrown).toMatchObject({ reason, message: `about ${reason}`, cursor: log.cursor(4) });
      expect((thrown as TailraceError).details).toEqual(details);
      expect(watched.cursor).toBe(log.cursor(4));
      expect(server.requests).toHaveLength(1);
    },
  );

  it.each(entries(stops))("%s as nothing but an error detail stops it just so", async (reason, details) => {
    const server = await startScriptedServer({ watch: () => failing(errorOf(reason, details)) });
    const { thrown } = await run({ baseUrl: server.url });
    expect(thrown).toMatchObject({ reason, message: `about ${reason}` });
    expect((thrown as TailraceError).details).toEqual(details);
    expect(server.requests).toHaveLength(1);
  });

  it("comes back from the wire as what it was, for every reason there is", () => {
    const all = { ...stops, ...rides };
    for (const [reason, details] of entries({
      ...all,
      job_ended: { jobId: "j", state: "cancelled" },
      producer_conflict: { expectedProducerSequence: 7, description: "a gap" },
      producer_unknown: { producerId: "p" },
    })) {
      expect(errorOfDiagnostic(diagnosticOf(errorOf(reason, details)))).toMatchObject({ reason, details });
    }
    for (const cause of Object.values(CursorUnknownCause).filter((value) => typeof value === "number")) {
      const value = { cause };
      const diagnostic = create(StreamDiagnosticSchema, { reason: { case: "cursorUnknown", value } });
      expect(errorOfDiagnostic(diagnostic)?.reason).toBe("cursor_unknown");
    }
  });

  it("stream_ended completes the iteration, and the outcome is there", async () => {
    const server = await startScriptedServer({
      async *watch() {
        yield log.opened(0);
        yield log.batch(0, 4);
        const end = { case: "worker" as const, value: { outcome: WorkerOutcome.FAILED, exitCode: 3 } };
        yield terminal({ reason: { case: "streamEnded", value: { end } }, cursor: log.cursor(4) });
      },
    });
    const { seen, thrown, watched, statuses } = await run({ baseUrl: server.url });
    expect(thrown).toBeUndefined();
    expect(seen).toEqual([1, 2, 3, 4]);
    expect(watched.outcome).toMatchObject({ case: "worker", value: { exitCode: 3 } });
    expect(statuses.at(-1)).toMatchObject({ kind: "ended", cursor: log.cursor(4) });
    expect(server.requests).toHaveLength(1);
  });
});

describe("what passes", () => {
  /** Fails once as told, then follows the log; ends when the watch is there again. */
  async function riding(fail: WatchScript, options: Partial<NodeWatchOptions> = {}) {
    const clock = new ManualClock();
    const server = await startScriptedServer({
      watch: (request, context, attempt) => (attempt === 1 ? fail(request, context, 1) : log.follow(request, context)),
    });
    const controller = new AbortController();
    const delays: number[] = [];
    const seen: number[] = [];
    const watched = watch({
      baseUrl: server.url,
      clock,
      signal: controller.signal,
      backoff: { random: () => 0.5 },
      onStatus(status) {
        if (status.kind !== "reconnecting") return;
        delays.push(status.delayMs);
        queueMicrotask(() => clock.advance(status.delayMs));
      },
      ...options,
    });
    for await (const event of watched) {
      seen.push(Number(event.sequence));
      if (seen.length === 4) break;
    }
    return { delays, seen, requests: server.requests };
  }

  it.each(entries(rides))(
    "%s as a frame is ridden out, after the time that the server asks for",
    async (reason, details) => {
      const { delays, seen } = await riding(async function* () {
        yield log.opened(0);
        yield log.batch(0, 2);
        yield { case: "diagnostic", value: diagnosticOf(errorOf(reason, details), log.cursor(2)) };
      });
      expect(seen).toEqual([1, 2, 3, 4]);
      expect(delays).toEqual([("retryAfterMs" in details ? (details.retryAfterMs as number) : 0) + 125]);
    },
  );

  it.each(entries(rides))(
    "%s as a refusal is ridden out, and the watch still begins where it was told",
    async (reason, details) => {
      const { seen, requests } = await riding(() => failing(errorOf(reason, details)), { last: 2 });
      expect(seen).toEqual([1, 2, 3, 4]);
      expect(requests[1]?.start).toEqual({ case: "last", value: 2 });
    },
  );

  it("a refusal's cursor does not replace where the watch was told to begin; that of an open watch does", async () => {
    const closing = new TailraceError("server_closing", { retryAfterMs: 0 }, "closing");
    const refused = await riding(
      async function* () {
        yield { case: "diagnostic", value: diagnosticOf(closing, log.cursor(4)) };
      },
      { last: 2 },
    );
    expect(refused.requests[1]?.start).toEqual({ case: "last", value: 2 });
    const ended = await riding(async function* () {
      yield log.opened(0);
      yield log.batch(0, 4);
      yield { case: "diagnostic", value: diagnosticOf(closing, log.cursor(4)) };
    });
    expect(ended.seen).toEqual([1, 2, 3, 4]);
  });

  it("a terminal reason of a later release is judged by the code of the call", async () => {
    const { seen } = await riding(async function* () {
      yield log.opened(0);
      yield terminal({ message: "news" });
      throw new ConnectError("news", Code.Unavailable);
    });
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  it("frames and notices of a later release are signs of life and nothing else", async () => {
    const server = await startScriptedServer({
      async *watch() {
        yield log.opened(0);
        yield { case: undefined };
        yield { case: "diagnostic", value: { severity: Severity.NOTICE } };
        yield log.batch(0, 4);
        yield terminal({ reason: { case: "streamEnded", value: {} } });
      },
    });
    const { seen, statuses } = await run({ baseUrl: server.url });
    expect(seen).toEqual([1, 2, 3, 4]);
    expect(statuses.map((status) => status.kind)).toEqual(["opened", "ended"]);
  });

  it.each([
    Code.Unknown,
    Code.Internal,
    Code.Aborted,
    Code.DataLoss,
    Code.DeadlineExceeded,
    Code.ResourceExhausted,
    Code.Canceled,
  ])("code %i without a diagnostic is ridden out", async (code) => {
    const { seen } = await riding(async function* () {
      yield log.opened(0);
      throw new ConnectError("from something in between", code);
    });
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  it.each([502, 503, 504, 429, 500])("HTTP %i of a proxy is ridden out", async (status) => {
    const proxy = createServer((_request, response) => {
      response.writeHead(status, { "content-type": "text/html" }).end("<html>sorry</html>");
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    onTestFinished(() => void proxy.close());
    const { statuses, thrown } = await run({
      baseUrl: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
      backoff: { random: () => 0, maxAttempts: 3 },
    });
    expect(statuses.map((one) => one.kind)).toEqual(["reconnecting", "reconnecting"]);
    expect(thrown).toMatchObject({ reason: "connection_failed", details: { attempts: 3 } });
  });
});

describe("without a diagnostic", () => {
  it.each([
    [Code.Unauthenticated, "access_expired"],
    [Code.PermissionDenied, "access_denied"],
    [Code.Unimplemented, "connection_failed"],
    [Code.NotFound, "connection_failed"],
  ])("code %i stops the watch with %s", async (code, reason) => {
    const server = await startScriptedServer({
      // biome-ignore lint/correctness/useYield: it fails before its first frame.
      async *watch() {
        throw new ConnectError("no", code);
      },
    });
    const { thrown } = await run({ baseUrl: server.url });
    expect(thrown).toMatchObject({ reason });
    expect(server.requests).toHaveLength(1);
  });

  it("a server that is none says so", async () => {
    const other = createServer((_request, response) => response.writeHead(404).end("not here"));
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    onTestFinished(() => void other.close());
    const { thrown } = await run({ baseUrl: `http://127.0.0.1:${(other.address() as AddressInfo).port}` });
    expect(thrown).toMatchObject({ reason: "connection_failed", details: { code: "unimplemented" } });
    expect((thrown as Error).message).toContain("not a Tailrace server");
  });
});

describe("notices", () => {
  it("come at their place among the events", async () => {
    const order: string[] = [];
    let allSent = false;
    const server = await startScriptedServer({
      async *watch() {
        const value = { fromCursor: log.cursor(0), toCursor: log.cursor(2), lostEvents: 2n, lostExact: true };
        yield log.opened(0);
        yield { case: "diagnostic", value: { severity: Severity.NOTICE, reason: { case: "gap", value } } };
        yield log.batch(2, 1);
        yield notice({ case: "fellBehind", value: { lag: { events: 9n } } });
        yield log.batch(3, 1);
        yield notice({ case: "logUnavailable", value: { since: timestampFromMs(1_700_000_000_000) } });
        yield notice({ case: "caughtUp", value: { lag: { events: 0n } } });
        allSent = true;
        yield terminal({ reason: { case: "streamEnded", value: {} } });
      },
    });
    const watched = watch({
      baseUrl: server.url,
      onStatus: (status) => {
        if (status.kind === "gap") order.push(`gap ${status.lostEvents} ${status.lostExact}`);
        else if (status.kind === "log_unavailable") order.push(`log_unavailable ${status.sinceMs}`);
        else order.push(status.kind);
      },
    });
    for await (const event of watched) {
      order.push(String(event.sequence));
      // Whatever arrives meanwhile has to wait for its turn.
      await eventually(() => expect(allSent).toBe(true));
    }
    expect(order).toEqual([
      "opened",
      "gap 2 true",
      "3",
      "fell_behind",
      "4",
      "log_unavailable 1700000000000",
      "caught_up",
      "ended",
    ]);
  });

  it("that the position is lost lets events come under sequences that were seen before", async () => {
    const value = { fromCursor: "", toCursor: log.cursor(0) };
    const server = await startScriptedServer({
      async *watch() {
        yield log.opened(0);
        yield log.batch(0, 3);
        // What a relay repeats is seen once.
        yield log.batch(1, 2);
        yield { case: "diagnostic", value: { severity: Severity.NOTICE, reason: { case: "gap", value } } };
        yield log.batch(0, 2);
        yield terminal({ reason: { case: "streamEnded", value: {} } });
      },
    });
    const seen: bigint[] = [];
    for await (const event of watch({ baseUrl: server.url })) seen.push(event.sequence);
    expect(seen).toEqual([1n, 2n, 3n, 1n, 2n]);
  });
});

// biome-ignore lint/correctness/useYield: it fails before its first frame.
async function* failing(error: TailraceError) {
  const diagnostic = diagnosticOf(error);
  // The code is wrong on purpose: the diagnostic is what counts.
  throw new ConnectError(error.message, Code.Aborted, undefined, [{ desc: StreamDiagnosticSchema, value: diagnostic }]);
}

function terminal(init: DiagnosticInit) {
  return { case: "diagnostic" as const, value: { severity: Severity.TERMINAL, ...init } };
}

function notice(reason: NonNullable<DiagnosticInit["reason"]>) {
  return { case: "diagnostic" as const, value: { severity: Severity.NOTICE, reason } };
}
