import { fromJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { GetWorkerResponseSchema, ListWorkersResponseSchema } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { serve } from "../support/serving.ts";
import { openSse } from "../support/sse-reader.ts";

const get = (url: string, headers: Record<string, string> = {}) => fetch(url, { headers });

async function json(answer: Response) {
  return JSON.parse(await answer.text());
}

describe("workers as JSON", () => {
  it("lists them in pages, with the cursor to watch from", async () => {
    const { runtime, server } = await serve();
    for (const id of ["b", "a", "c"]) await runtime.worker(id).stdout("x");
    const page = await get(`${server.url}/v1/workers?page_size=2`);
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toBe("application/json");
    const first = fromJson(ListWorkersResponseSchema, await json(page));
    expect(first.workers.map(({ workerId }) => workerId)).toEqual(["a", "b"]);
    expect(page.headers.get("tailrace-cursor")).toBe(first.cursor);
    const rest = await get(`${server.url}/v1/workers?page_token=${encodeURIComponent(first.nextPageToken)}`);
    expect(fromJson(ListWorkersResponseSchema, await json(rest)).workers.map(({ workerId }) => workerId)).toEqual([
      "c",
    ]);
    await runtime.worker("a").stdout("later");
    const reader = await openSse(`${server.url}/v1/events?kinds=output&cursor=${first.cursor}`);
    expect(JSON.parse((await reader.find("output")).data).workerId).toBe("a");
  });

  it("gives one, by an id of any characters", async () => {
    const { runtime, server } = await serve();
    const id = "a/b?c#d %ü..";
    await runtime.worker(id).stdout("x");
    const answer = await get(`${server.url}/v1/workers/${encodeURIComponent(id)}`);
    const { worker, cursor } = fromJson(GetWorkerResponseSchema, await json(answer));
    expect(worker?.workerId).toBe(id);
    expect(answer.headers.get("tailrace-cursor")).toBe(cursor);
  });

  it.each(["/v1/workers", "/v1/workers/w"])(
    "%s answers 304 with the current cursor until something changes",
    async (path) => {
      const { runtime, server } = await serve();
      await runtime.worker("w").stdout("x");
      const first = await get(server.url + path);
      const tag = first.headers.get("etag") as string;
      expect(tag).toMatch(/^"[^"]+"$/);
      for (const condition of [tag, `W/${tag}`, `"other", ${tag}`, "*"]) {
        const again = await get(server.url + path, { "if-none-match": condition });
        expect([again.status, await again.text()]).toEqual([304, ""]);
        expect(again.headers.get("tailrace-cursor")).toBe(first.headers.get("tailrace-cursor"));
        expect(again.headers.get("etag")).toBe(tag);
      }
      await runtime.worker("w").stdout("y");
      const changed = await get(server.url + path, { "if-none-match": tag });
      expect(changed.status).toBe(200);
      expect(changed.headers.get("etag")).not.toBe(tag);
      expect(changed.headers.get("tailrace-cursor")).not.toBe(first.headers.get("tailrace-cursor"));
    },
  );

  it.each([
    ["/v1/workers?page_size=x", "page_size"],
    ["/v1/workers?page_size=1001", "page_size"],
    ["/v1/workers?page_token=%00", "page_token"],
    [`/v1/workers?page_token=${"A".repeat(5_000)}`, "page_token"],
    ["/v1/jobs?page_token=t1.1", "page_token"],
    ["/v1/workers?limit=3", "limit"],
    ["/v1/workers/w?fields=state", "fields"],
    ["/v1/workers/%E0%A4%A", "worker_id"],
    ["/v1/workers/%FF/events", "worker_id"],
  ])("refuses %s, naming the parameter", async (path, field) => {
    const { server } = await serve();
    const answer = await get(server.url + path);
    expect(answer.status).toBe(400);
    expect((await json(answer)).diagnostic.invalidRequest.field).toBe(field);
  });

  it("does not know a worker that does not exist", async () => {
    const { server } = await serve();
    const answer = await get(`${server.url}/v1/workers/nobody`);
    expect(answer.status).toBe(404);
    expect((await json(answer)).diagnostic.workerNotFound).toEqual({ workerId: "nobody" });
  });
});

describe("a job that does not exist", () => {
  it.each([
    ["GET", "/v1/jobs/a%20b"],
    ["DELETE", "/v1/jobs/a%20b"],
    ["GET", "/v1/jobs/a%20b/stream"],
    ["GET", "/v1/jobs/a%20b/events"],
    ["POST", "/v1/jobs/a%20b/start"],
  ])("%s %s is job_not_found", async (method, path) => {
    const { server } = await serve();
    const answer = await fetch(server.url + path, { method, headers: { "content-type": "application/json" } });
    expect(answer.status).toBe(404);
    expect((await json(answer)).diagnostic.jobNotFound).toEqual({ jobId: "a b" });
  });
});

describe("what is no route", () => {
  it.each([
    "/",
    "/v1",
    "/v1/",
    "/v1/events/",
    "/v1//events",
    "/v1/workers//events",
    "/V1/events",
    "/v2/events",
    "/metrics",
  ])("%s is a 404 with a problem", async (path) => {
    const { server } = await serve();
    const answer = await get(server.url + path);
    expect(answer.status).toBe(404);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(await json(answer)).toMatchObject({ type: "about:blank", title: "Not Found", status: 404 });
  });

  it.each([
    ["POST", "/v1/events", "GET"],
    ["HEAD", "/v1/events", "GET"],
    ["OPTIONS", "/v1/events", "GET"],
    ["PUT", "/v1/workers", "GET, HEAD"],
    ["DELETE", "/v1/workers/w", "GET, HEAD"],
    ["GET", "/v1/jobs/j/start", "POST"],
    ["PATCH", "/v1/jobs/j", "GET, DELETE, HEAD"],
    ["POST", "/readyz", "GET, HEAD"],
  ])("%s %s is a 405 that says what is allowed", async (method, path, allow) => {
    const { server } = await serve();
    const answer = await fetch(server.url + path, { method, headers: { "content-type": "application/json" } });
    expect(answer.status).toBe(405);
    expect(answer.headers.get("allow")).toBe(allow);
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    if (method !== "HEAD") expect(await json(answer)).toMatchObject({ status: 405 });
  });

  it("answers HEAD as GET without the body", async () => {
    const { runtime, server } = await serve();
    await runtime.worker("w").stdout("x");
    for (const path of ["/v1/workers", "/v1/workers/w", "/healthz", "/readyz"]) {
      const head = await fetch(server.url + path, { method: "HEAD" });
      const full = await get(server.url + path);
      expect([head.status, await head.text()]).toEqual([200, ""]);
      expect(head.headers.get("content-length")).toBe(full.headers.get("content-length"));
      expect(head.headers.get("etag")).toBe(full.headers.get("etag"));
    }
  });
});

describe("health", () => {
  it("is up and ready", async () => {
    const { server } = await serve();
    expect([(await get(`${server.url}/healthz`)).status, (await get(`${server.url}/readyz`)).status]).toEqual([
      200, 200,
    ]);
  });

  it("is up but not ready while the log can't be used", async () => {
    const { server, log } = await serve({ expectFaults: true });
    await log.close();
    expect((await get(`${server.url}/healthz`)).status).toBe(200);
    const ready = await get(`${server.url}/readyz`);
    expect(ready.status).toBe(503);
    expect((await json(ready)).reasons).toMatchObject([{ reason: "log_unavailable" }]);
  });
});
