import { describe, expect, it } from "vitest";
import { readSimple, registerOperations, request, submit } from "../jobs/world.ts";
import { serve } from "../support/serving.ts";

describe("jobs as JSON", () => {
  it("are made once for an idempotency key", async () => {
    const { runtime, server } = await serve();
    registerOperations(runtime);
    const body = { operation: "tell", params: { texts: ["x"] }, idempotencyKey: "k" };
    const first = await request("POST", `${server.url}/v1/jobs`, body);
    const { jobId, cursor } = first.body;
    expect([first.status, first.headers.get("location")]).toEqual([201, `/v1/jobs/${jobId}`]);
    expect(first.headers.get("tailrace-cursor")).toBe(cursor);
    expect((await request("GET", server.url + first.headers.get("location"))).body.job.jobId).toBe(jobId);
    const again = await request("POST", `${server.url}/v1/jobs`, body);
    expect([again.status, again.body.jobId, again.body.duplicate]).toEqual([200, jobId, true]);
    const other = await request("POST", `${server.url}/v1/jobs`, { ...body, params: { texts: ["y"] } });
    expect([other.status >= 400, other.status < 500, other.body.diagnostic]).toEqual([true, true, expect.anything()]);
    // A watch from the cursor of the submit sees the job from its first event on.
    const { events } = await readSimple(`${server.url}/v1/jobs/${jobId}/stream?cursor=${cursor}`);
    expect(events[0].jobStateChanged.state).toBe("JOB_STATE_QUEUED");
  });

  it("are given by id, with 304 until something changes", async () => {
    const { runtime, server } = await serve();
    const { running, release } = registerOperations(runtime);
    const jobId = await submit(server.url, { operation: "hold" });
    const job = await running(jobId);
    const url = `${server.url}/v1/jobs/${jobId}`;
    const first = await fetch(url);
    const etag = first.headers.get("etag") as string;
    const same = await fetch(url, { headers: { "if-none-match": etag } });
    expect([same.status, await same.text()]).toEqual([304, ""]);
    expect(same.headers.get("tailrace-cursor")).toBe(first.headers.get("tailrace-cursor"));
    await job.narrate("step", "on");
    const changed = await fetch(url, { headers: { "if-none-match": etag } });
    expect([changed.status, changed.headers.get("etag") === etag]).toEqual([200, false]);
    release(jobId);
  });

  it("are listed by state and operation, in pages that do not move", async () => {
    const { runtime, server } = await serve();
    const { running, release } = registerOperations(runtime);
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.unshift(await submit(server.url, { operation: "hold" }));
    for (const id of ids) await running(id);
    const idsOf = (answer: { body: { jobs?: { jobId: string }[] } }) =>
      (answer.body.jobs ?? []).map((one) => one.jobId);
    const first = await request("GET", `${server.url}/v1/jobs?page_size=2&states=running,queued&operation=hold`);
    expect(idsOf(first)).toEqual(ids.slice(0, 2));
    expect(first.headers.get("tailrace-cursor")).toBe(first.body.cursor);
    await submit(server.url, { operation: "tell", params: { texts: [] } });
    const next = await request("GET", `${server.url}/v1/jobs?page_token=${first.body.nextPageToken}`);
    expect([idsOf(next), next.body.nextPageToken]).toEqual([ids.slice(2), undefined]);
    expect(idsOf(await request("GET", `${server.url}/v1/jobs?states=failed,timed_out`))).toEqual([]);
    for (const id of ids) release(id);
  });

  it("are started by POST, with or without a body", async () => {
    const { runtime, server } = await serve();
    const { running, release } = registerOperations(runtime);
    for (const body of [undefined, "", "{}", (id: string) => JSON.stringify({ jobId: id })]) {
      const jobId = await submit(server.url, { operation: "hold", start: "JOB_START_DEFERRED" });
      const answer = await fetch(`${server.url}/v1/jobs/${jobId}/start`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : body(jobId) }),
      });
      expect([answer.status, ((await answer.json()) as { job: object }).job]).toEqual([
        200,
        expect.not.objectContaining({ deferred: true }),
      ]);
      await running(jobId);
      release(jobId);
    }
    const jobId = await submit(server.url, { operation: "hold", start: "JOB_START_DEFERRED" });
    const wrong = await request("POST", `${server.url}/v1/jobs/${jobId}/start`, { jobId: "another" });
    expect([wrong.status, wrong.body.diagnostic.invalidRequest.field]).toEqual([400, "job_id"]);
    expect((await request("GET", `${server.url}/v1/jobs/${jobId}`)).body.job.deferred).toBe(true);
  });

  it("are cancelled by DELETE, with a reason for people", async () => {
    const { runtime, server } = await serve();
    const { running } = registerOperations(runtime);
    const jobId = await submit(server.url, { operation: "hold" });
    await running(jobId);
    const answer = await request(
      "DELETE",
      `${server.url}/v1/jobs/${jobId}?message=${encodeURIComponent("too dear\n€")}`,
    );
    expect([answer.status, answer.body.job.jobId]).toEqual([200, jobId]);
    const { marker, events } = await readSimple(`${server.url}/v1/jobs/${jobId}/stream`);
    expect(marker).toBe("[CANCELLED]");
    expect(events.at(-1).jobStateChanged.message).toContain("too dear");
  });

  it.each([
    [{ operation: "nothing" }, "operation"],
    [{ operation: "tell", param: {} }, "param"],
    [{ operation: "tell", timeouts: { totl: "5s" } }, "timeouts.totl"],
    [{ operation: "tell", params: [] }, "params"],
    [{ operation: "tell", start: "LATER" }, "start"],
    [{ operation: "tell", timeouts: { total: "-5s" } }, "timeouts.total"],
    [{ operation: "tell", idempotency_key: "k".repeat(257) }, "idempotency_key"],
  ])("are not made of %j: the answer names %s", async (body, field) => {
    const { runtime, server } = await serve();
    registerOperations(runtime);
    const answer = await request("POST", `${server.url}/v1/jobs`, body);
    expect([answer.status, answer.body.diagnostic.invalidRequest.field]).toEqual([400, field]);
    expect((await request("GET", `${server.url}/v1/jobs`)).body.jobs).toBeUndefined();
  });

  it("are limit_exceeded, with when to come back, where there is no room", async () => {
    const { runtime, server } = await serve();
    runtime.operation("narrow", { queueDepth: 1, concurrency: 1 }, () => undefined);
    const deferred = { operation: "narrow", start: "JOB_START_DEFERRED" };
    await submit(server.url, deferred);
    const answer = await request("POST", `${server.url}/v1/jobs`, deferred);
    expect([answer.status, answer.body.diagnostic.limitExceeded]).toEqual([429, expect.anything()]);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  });
});

describe("a transcript as JSON", () => {
  it("comes in pages, with 304 and the cursor to watch from", async () => {
    const { runtime, server } = await serve();
    for (const messageId of ["one", "two", "three"]) {
      await runtime.worker("w").publish({ case: "userMessage", value: { messageId } });
    }
    const url = `${server.url}/v1/workers/w/transcript`;
    const first = await fetch(`${url}?page_size=2`);
    const page = (await first.json()) as { entries: object[]; nextPageToken: string; cursor: string };
    expect([page.entries.length, first.headers.get("tailrace-cursor")]).toEqual([2, page.cursor]);
    const rest = (await request("GET", `${url}?page_token=${encodeURIComponent(page.nextPageToken)}`)).body;
    expect([rest.entries.length, rest.nextPageToken]).toEqual([1, undefined]);
    const newest = (await request("GET", `${url}?newest_first=true&page_size=1`)).body;
    expect(newest.entries).toEqual(rest.entries);
    const etag = first.headers.get("etag") as string;
    expect((await fetch(`${url}?page_size=2`, { headers: { "if-none-match": etag } })).status).toBe(304);
    expect((await request("GET", `${server.url}/v1/workers/nobody/transcript`)).body.diagnostic.workerNotFound).toEqual(
      {
        workerId: "nobody",
      },
    );
  });
});
