import { fromJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { StreamDiagnosticSchema } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import { edges } from "../edges/index.ts";
import { outcomes, type RefusalReason } from "../reasons.ts";
import { view } from "../viewer.ts";
import { type LogUnderTest, publishIds, serveOver } from "../world.ts";

const strict = { ignoreUnknownFields: false } as const;

interface Route {
  readonly method: string;
  readonly path: string;
  readonly reason: RefusalReason;
  readonly details?: object;
  readonly body?: string;
}

const routes: readonly Route[] = [
  { method: "GET", path: "/v1/workers/nobody", reason: "workerNotFound", details: { workerId: "nobody" } },
  { method: "GET", path: `/v1/workers/${"w".repeat(257)}`, reason: "invalidRequest", details: { field: "worker_id" } },
  { method: "GET", path: "/v1/workers?page_size=1001", reason: "invalidRequest", details: { field: "page_size" } },
  { method: "GET", path: "/v1/jobs/j1", reason: "jobNotFound", details: { jobId: "j1" } },
  { method: "DELETE", path: "/v1/jobs/j1", reason: "jobNotFound", details: { jobId: "j1" } },
  { method: "POST", path: "/v1/jobs/j1/start", reason: "jobNotFound", details: { jobId: "j1" }, body: "{}" },
  { method: "GET", path: "/v1/jobs/j1/events", reason: "jobNotFound", details: { jobId: "j1" } },
  { method: "GET", path: "/v1/jobs/j1/stream", reason: "jobNotFound", details: { jobId: "j1" } },
  { method: "GET", path: "/v1/events?scope=w", reason: "invalidRequest", details: { field: "scope" } },
  { method: "GET", path: "/v1/events?last=many", reason: "invalidRequest", details: { field: "last" } },
  { method: "GET", path: "/v1/events?since=yesterday", reason: "invalidRequest", details: { field: "since" } },
  { method: "GET", path: "/v1/workers/%ff/events", reason: "invalidRequest", details: { field: "worker_id" } },
];

/** What is refused at the door: other people's web pages, misspelt fields, and routes without anything behind them. */
export function doorSuite(logs: LogUnderTest): void {
  it.each(edges)("a page of another origin is refused over $name", async (edge) => {
    const { runtime, url } = await serveOver(logs);
    await publishIds(runtime, "w", ["1"]);
    const viewer = view(edge, url, {}, { headers: { origin: "https://evil.example" } });
    const { code, detail, status } = await viewer.end();
    expect(viewer.events).toEqual([]);
    if (code === undefined) expect(status).toBe(outcomes.accessDenied.status);
    else expect(code).toBe(outcomes.accessDenied.code);
    expect(detail?.reason.case).toBe("accessDenied");
  });

  it.each(routes)("$method $path is a problem of its status", async ({ method, path, reason, details = {}, body }) => {
    const { url } = await serveOver(logs);
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const answer = await fetch(url + path, { method, headers, ...(body === undefined ? {} : { body }) });
    const problem = (await answer.json()) as Record<string, never>;
    expect([answer.status, answer.headers.get("content-type")]).toEqual([
      outcomes[reason].status,
      "application/problem+json",
    ]);
    const diagnostic = fromJson(StreamDiagnosticSchema, problem["diagnostic"] ?? null, strict);
    expect(diagnostic.reason.case).toBe(reason);
    expect(problem["diagnostic"]).toMatchObject({ severity: "SEVERITY_TERMINAL", [reason]: details });
    expect(problem["status"]).toBe(answer.status);
  });

  describe("a field that the schema does not have", () => {
    it.each([
      ["WatchEvents", { workerId: "w" }, "workerId"],
      ["WatchEvents", { start_from: "x" }, "start_from"],
    ])("is refused by name over Connect's stream: %s", async (method, message, field) => {
      const { url } = await serveOver(logs);
      const json = Buffer.from(JSON.stringify(message));
      const envelope = Buffer.alloc(5);
      envelope.writeUInt32BE(json.length, 1);
      const answer = await fetch(`${url}/tailrace.v1.EventStreamService/${method}`, {
        method: "POST",
        headers: { "content-type": "application/connect+json" },
        body: Buffer.concat([envelope, json]),
      });
      const text = Buffer.from(await answer.arrayBuffer()).toString("latin1");
      const end = JSON.parse(text.slice(text.lastIndexOf('{"error"')));
      expect(end.error).toMatchObject({
        code: "invalid_argument",
        details: [{ debug: { invalidRequest: { field } } }],
      });
      expect(text).not.toContain('"opened"');
    });

    it.each([
      ["EventStreamService/ListEvents", { workerId: "w" }, "workerId"],
      ["WorkerService/GetWorker", { worker: "w" }, "worker"],
      [
        "PublisherService/PublishEvents",
        { events: [{ workerId: "w", sequence: 5, custom: {} }] },
        "events[0].sequence",
      ],
      ["PublisherService/PublishEvents", { events: [{ outputs: {} }] }, "events[0].outputs"],
    ])("is refused by name over Connect: %s", async (method, message, field) => {
      const { url } = await serveOver(logs);
      const answer = await fetch(`${url}/tailrace.v1.${method}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(message),
      });
      const error = await answer.json();
      expect(answer.status).toBe(400);
      expect(error).toMatchObject({ code: "invalid_argument", details: [{ debug: { invalidRequest: { field } } }] });
    });
  });

  it("a command without a content type that pages can't send is refused", async () => {
    const { runtime, url } = await serveOver(logs);
    await publishIds(runtime, "w", ["1"]);
    const before = runtime.log.bounds({ kind: "runtime" }).head.sequence;
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
      const answer = await fetch(`${url}/tailrace.v1.PublisherService/PublishEvents`, {
        method: "POST",
        headers: { "content-type": type },
        body: JSON.stringify({ events: [{ workerId: "w", custom: { type: "t" } }] }),
      });
      expect(answer.status).toBe(415);
    }
    expect(runtime.log.bounds({ kind: "runtime" }).head.sequence).toBe(before);
  });
}
