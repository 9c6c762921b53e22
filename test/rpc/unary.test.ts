import { fromJson, type JsonObject } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { type StreamDiagnostic, StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { EventStreamService } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { TailraceError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { toConnectError } from "../../src/rpc/errors.ts";
import { type RpcServing, serveRpc, transports } from "./serving.ts";

async function refused(promise: Promise<unknown>): Promise<{ code: Code; diagnostic: StreamDiagnostic | undefined }> {
  try {
    await promise;
  } catch (error) {
    const refusal = ConnectError.from(error);
    return { code: refusal.code, diagnostic: refusal.findDetails(StreamDiagnosticSchema)[0] };
  }
  throw new Error("was not refused");
}

function clients(transport: Transport) {
  return {
    events: createClient(EventStreamService, transport),
    workers: createClient(WorkerService, transport),
    publisher: createClient(PublisherService, transport),
  };
}

function outputs(count: number, data = "x") {
  return Array.from({ length: count }, (_, i) => ({
    workerId: "w",
    payload: { case: "output" as const, value: { data: Buffer.from(`${data}${i}`) } },
  }));
}

describe.each(transports)("unary calls over %s", (_name, transport) => {
  test("publish, list, and ask for workers", async () => {
    const serving = await serveRpc();
    const { events, workers, publisher } = clients(transport(serving));
    const receipt = await publisher.publishEvents({ events: outputs(25) });
    expect(receipt.lastSequence - receipt.firstSequence).toBeGreaterThanOrEqual(24n);
    const page = await events.listEvents({ workerIds: ["w"] });
    const data = page.events.flatMap(({ payload }) =>
      payload.case === "output" ? [Buffer.from(payload.value.data).toString()] : [],
    );
    expect(data).toEqual(Array.from({ length: 25 }, (_, i) => `x${i}`));
    expect((await workers.listWorkers({})).workers.map(({ workerId }) => workerId)).toEqual(["w"]);
    expect((await workers.getWorker({ workerId: "w" })).worker?.workerId).toBe("w");
  });

  test("errors have their code and a typed detail", async () => {
    const serving = await serveRpc();
    const { workers, publisher, events } = clients(transport(serving));
    const unknown = await refused(workers.getWorker({ workerId: "nobody" }));
    expect(unknown.code).toBe(Code.NotFound);
    expect(unknown.diagnostic?.reason.case).toBe("workerNotFound");
    const empty = await refused(publisher.publishEvents({ events: [{ workerId: "w" }] }));
    expect(empty.code).toBe(Code.InvalidArgument);
    expect(empty.diagnostic?.reason).toMatchObject({ value: { field: "events[0].payload" } });
    const job = await refused(events.listEvents({ jobId: "j" }));
    expect(job.code).toBe(Code.NotFound);
    expect(job.diagnostic?.reason.case).toBe("jobNotFound");
  });

  test("a body that is too large is a typed limit", async () => {
    const serving = await serveRpc();
    const { publisher } = clients(transport(serving));
    const large = { workerId: "w", payload: { case: "output" as const, value: { data: new Uint8Array(500_000) } } };
    const events = Array.from({ length: Math.ceil(limits.maxRequestBytes / 500_000) + 1 }, () => large);
    const { code, diagnostic } = await refused(publisher.publishEvents({ events }));
    expect(code).toBe(Code.ResourceExhausted);
    expect(diagnostic?.reason).toMatchObject({
      case: "limitExceeded",
      value: { maximum: BigInt(limits.maxRequestBytes) },
    });
    // The connection, if it was kept, still works.
    await publisher.publishEvents({ events: outputs(1) });
  });

  test("a deadline ends the wait", async () => {
    const serving = await serveRpc({
      change: (runtime) => {
        runtime.publishEvents = () => new Promise(() => undefined);
      },
    });
    const { code } = await refused(
      clients(transport(serving)).publisher.publishEvents({ events: outputs(1) }, { timeoutMs: 50 }),
    );
    expect(code).toBe(Code.DeadlineExceeded);
  });

  test("a caller that leaves while its batch is on its way is no fault of the server", async () => {
    const cancel = new AbortController();
    const answered = Promise.withResolvers<void>();
    const serving = await serveRpc({
      change: (runtime) => {
        const publishEvents = runtime.publishEvents.bind(runtime);
        runtime.publishEvents = async (request) => {
          cancel.abort();
          await gone.promise;
          return publishEvents(request).finally(answered.resolve);
        };
      },
    });
    const gone = Promise.withResolvers<void>();
    const { publisher } = clients(transport(serving));
    const call = refused(publisher.publishEvents({ events: outputs(1) }, { signal: cancel.signal }));
    expect((await call).code).toBe(Code.Canceled);
    // Time for the server to hear of it; what it then reports fails the test.
    await new Promise((resolve) => setTimeout(resolve, 50));
    gone.resolve();
    await answered.promise;
    expect(serving.runtime.log.worker("w")?.lastOrdinal).toBe(2);
  });

  test("a fault inside tells an incident id and nothing else", async () => {
    const serving = await serveRpc({
      expectFaults: true,
      change: (runtime) => {
        runtime.listWorkers = () => {
          throw new Error("/secret/path broke");
        };
      },
    });
    const { code, diagnostic } = await refused(clients(transport(serving)).workers.listWorkers({}));
    expect(code).toBe(Code.Internal);
    expect(diagnostic?.reason.case).toBe("internal");
    expect(diagnostic?.message).not.toContain("secret");
    expect(serving.faults).toHaveLength(1);
  });
});

describe("requests that can't be decoded", () => {
  function post(serving: RpcServing, method: string, contentType: string, body: string | Uint8Array<ArrayBuffer>) {
    return fetch(`${serving.h1}/tailrace.v1.${method}`, {
      method: "POST",
      headers: { "content-type": contentType },
      body,
    });
  }

  function diagnosticIn(error: JsonObject): StreamDiagnostic {
    const [detail] = error.details as JsonObject[];
    return fromJson(StreamDiagnosticSchema, detail?.debug as JsonObject, { ignoreUnknownFields: true });
  }

  test.each([
    ["EventStreamService/ListEvents", '{"workerIds":[],"wokerIds":["w"]}', "wokerIds"],
    ["PublisherService/PublishEvents", '{"events":[{},{"output":{"date":"eA=="}}]}', "events[1].output.date"],
    ["WorkerService/GetWorker", '{"workerId":5}', "worker_id"],
    ["WorkerService/GetWorker", "{", "body"],
    ["WorkerService/GetWorker", "", "body"],
    ["WorkerService/GetWorker", "[]", "body"],
  ])("%s with %s names %s", async (method, body, field) => {
    const serving = await serveRpc();
    const response = await post(serving, method, "application/json", body);
    expect(response.status).toBe(400);
    const error = (await response.json()) as JsonObject;
    expect(error.code).toBe("invalid_argument");
    expect(diagnosticIn(error).reason).toMatchObject({ case: "invalidRequest", value: { field } });
  });

  test("a misspelt scope of a watch does not watch everything", async () => {
    const serving = await serveRpc();
    const json = Buffer.from('{"wokerIds":["w"]}');
    const head = Buffer.alloc(5);
    head.writeUInt32BE(json.length, 1);
    const response = await post(
      serving,
      "EventStreamService/WatchEvents",
      "application/connect+json",
      Uint8Array.from(Buffer.concat([head, json])),
    );
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(bytes[0]).toBe(2);
    const end = JSON.parse(bytes.subarray(5).toString()) as { error: JsonObject };
    expect(end.error.code).toBe("invalid_argument");
    expect(diagnosticIn(end.error).reason).toMatchObject({ value: { field: "wokerIds" } });
  });

  test("binary that is none", async () => {
    const serving = await serveRpc();
    const response = await post(serving, "WorkerService/GetWorker", "application/proto", new Uint8Array([0x0a, 0x05]));
    expect(response.status).toBe(400);
    expect(diagnosticIn((await response.json()) as JsonObject).reason.case).toBe("invalidRequest");
  });

  test("GET is for what has no side effects, and its unknown field is named too", async () => {
    const serving = await serveRpc();
    const get = (method: string, message: string) =>
      fetch(`${serving.h1}/tailrace.v1.${method}?connect=v1&encoding=json&message=${encodeURIComponent(message)}`);
    expect((await get("WorkerService/ListWorkers", "{}")).status).toBe(200);
    expect((await get("PublisherService/PublishEvents", "{}")).status).toBe(405);
    const response = await get("WorkerService/ListWorkers", '{"pageSise":1}');
    expect(response.status).toBe(400);
    const error = (await response.json()) as JsonObject;
    expect(diagnosticIn(error).reason).toMatchObject({ value: { field: "pageSise" } });
  });

  test("other content types, methods and paths get their status", async () => {
    const serving = await serveRpc();
    expect((await post(serving, "WorkerService/GetWorker", "text/plain", "{}")).status).toBe(415);
    expect((await post(serving, "WorkerService/Nothing", "application/json", "{}")).status).toBe(404);
    expect((await fetch(`${serving.h1}/tailrace.v1.EventStreamService/WatchEvents`)).status).toBe(405);
  });
});

test("every reason has the code of the protocol", () => {
  const report = (): void => undefined;
  const codeOf = (error: TailraceError): Code => toConnectError(error, report).code;
  const zero = { retryAfterMs: 0 };
  const expired = { requestedCursor: "", earliestCursor: "", latestCursor: "", lostEvents: 1, lostExact: true };
  const table: readonly (readonly [TailraceError, Code])[] = [
    [new TailraceError("invalid_request", { field: "f", description: "d" }, ""), Code.InvalidArgument],
    [new TailraceError("cursor_malformed", { description: "d" }, ""), Code.InvalidArgument],
    [new TailraceError("cursor_unknown", { cause: "beyond_head" }, ""), Code.FailedPrecondition],
    [new TailraceError("cursor_expired", expired, ""), Code.OutOfRange],
    [new TailraceError("worker_not_found", { workerId: "w" }, ""), Code.NotFound],
    [new TailraceError("job_not_found", { jobId: "j" }, ""), Code.NotFound],
    [new TailraceError("log_unavailable", { sinceMs: 0, ...zero }, ""), Code.Unavailable],
    [new TailraceError("server_closing", zero, ""), Code.Unavailable],
    [new TailraceError("access_expired", {}, ""), Code.Unauthenticated],
    [new TailraceError("access_denied", { grant: "observe" }, ""), Code.PermissionDenied],
    [new TailraceError("limit_exceeded", { limit: "l", maximum: 1 }, ""), Code.ResourceExhausted],
    [new TailraceError("job_ended", { jobId: "j", state: "cancelled" }, ""), Code.FailedPrecondition],
    [
      new TailraceError("producer_conflict", { expectedProducerSequence: 1, description: "" }, ""),
      Code.FailedPrecondition,
    ],
    [new TailraceError("producer_unknown", { producerId: "p" }, ""), Code.FailedPrecondition],
    [new TailraceError("internal", { incidentId: "i" }, ""), Code.Internal],
  ];
  for (const [error, code] of table) {
    expect([error.reason, codeOf(error)]).toEqual([error.reason, code]);
    const detail = toConnectError(error, report).findDetails(StreamDiagnosticSchema)[0];
    const name = error.reason.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    expect(detail?.reason.case).toBe(name);
  }
  expect(toConnectError(new Error("boom"), report).code).toBe(Code.Internal);
});
