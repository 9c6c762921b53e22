import { fromJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { decodeCursor, origin } from "../../src/events/cursor.ts";
import { MemoryLog } from "../../src/log/memory/index.ts";
import { type Serving, serve } from "../support/serving.ts";
import { openSse, type SseReader } from "../support/sse-reader.ts";

interface Case {
  readonly name: string;
  readonly status: number;
  /** Key of the reason in the diagnostic's JSON. */
  readonly reason: string;
  readonly details?: object;
  /** Path and start of a request that meets it. */
  readonly prepare: (serving: Serving) => Promise<{ path: string; query?: string; cursor?: string }>;
  /** Whether coming back may help: then the EventSource is sent away with an ordinary cursor. */
  readonly returning?: boolean;
}

async function cursorOf({ runtime }: Serving): Promise<string> {
  return (await runtime.worker("w").stdout("x")).cursor;
}

const cases: readonly Case[] = [
  {
    name: "a wrong parameter",
    status: 400,
    reason: "invalidRequest",
    details: { field: "kinds[0]" },
    prepare: async (serving) => ({ path: "/v1/events", query: "kinds=teleport", cursor: await cursorOf(serving) }),
  },
  {
    name: "a value out of range",
    status: 400,
    reason: "invalidRequest",
    details: { field: "worker_ids[0]" },
    prepare: async (serving) => ({ path: `/v1/workers/${"x".repeat(257)}/events`, cursor: await cursorOf(serving) }),
  },
  {
    name: "a cursor that is none",
    status: 400,
    reason: "cursorMalformed",
    prepare: async () => ({ path: "/v1/events", cursor: "not-a-cursor" }),
  },
  {
    name: "a cursor of another runtime",
    status: 409,
    reason: "cursorUnknown",
    details: { cause: "CURSOR_UNKNOWN_CAUSE_OTHER_RUNTIME" },
    prepare: async () => ({ path: "/v1/events", cursor: await cursorOf(await serve()) }),
  },
  {
    name: "a cursor of an earlier generation",
    status: 409,
    reason: "cursorUnknown",
    details: { cause: "CURSOR_UNKNOWN_CAUSE_OTHER_GENERATION" },
    prepare: async ({ runtime }) => {
      const wiped = await serve({ log: new MemoryLog({ runtimeId: runtime.id }) });
      return { path: "/v1/events", cursor: await cursorOf(wiped) };
    },
  },
  {
    name: "a cursor beyond the head",
    status: 409,
    reason: "cursorUnknown",
    details: { cause: "CURSOR_UNKNOWN_CAUSE_BEYOND_HEAD" },
    prepare: async ({ runtime }) => ({
      path: "/v1/events",
      cursor: runtime.cursors.encode({ ...origin, sequence: 1_000_000, ordinal: 1_000_000 }),
    }),
  },
  {
    name: "a cursor that retention left behind",
    status: 410,
    reason: "cursorExpired",
    details: { lostEvents: "7", lostExact: true },
    prepare: async (serving) => {
      const cursor = await cursorOf(serving);
      for (let i = 0; i < 10; i++) await serving.runtime.worker("w").stdout(`${i}`);
      return { path: "/v1/workers/w/events", cursor };
    },
  },
  {
    name: "a worker that does not exist",
    status: 404,
    reason: "workerNotFound",
    details: { workerId: "nobody/here" },
    prepare: async (serving) => ({ path: "/v1/workers/nobody%2Fhere/events", cursor: await cursorOf(serving) }),
  },
  {
    name: "a job that does not exist",
    status: 404,
    reason: "jobNotFound",
    details: { jobId: "j1" },
    prepare: async (serving) => ({ path: "/v1/jobs/j1/events", cursor: await cursorOf(serving) }),
  },
  {
    name: "a server that closes",
    status: 503,
    reason: "serverClosing",
    returning: true,
    prepare: async (serving) => {
      const cursor = await cursorOf(serving);
      serving.runtime.beginClosing(2_000);
      return { path: "/v1/events", cursor };
    },
  },
];

async function served(): Promise<Serving> {
  return serve({ retention: { workerEvents: 3 }, expectFaults: true });
}

async function diagnosticIn(reader: SseReader): Promise<{ json: Record<string, unknown>; id: string | undefined }> {
  const messages = await reader.rest();
  expect(messages.map(({ event }) => event)).toEqual(["diagnostic"]);
  const [message] = messages;
  return { json: JSON.parse(message?.data ?? ""), id: message?.id };
}

describe.each(cases)("$name", ({ status, reason, details, prepare, returning = false }) => {
  it(`is a problem of status ${status} before the first byte`, async () => {
    const serving = await served();
    const { path, query, cursor } = await prepare(serving);
    const start = new URLSearchParams(query);
    if (cursor !== undefined) start.set("cursor", cursor);
    const answer = await openSse(`${serving.server.url}${path}?${start}`);
    expect(answer.status).toBe(status);
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    expect(answer.headers["cache-control"]).toBe("no-store");
    const problem = JSON.parse(await answer.body());
    expect(problem).toMatchObject({ type: "about:blank", status, detail: problem.diagnostic.message });
    fromJson(StreamDiagnosticSchema, problem.diagnostic, { ignoreUnknownFields: false });
    expect(problem.diagnostic.severity).toBe("SEVERITY_TERMINAL");
    expect(problem.diagnostic[reason]).toMatchObject(details ?? {});
    if (returning) expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
  });

  it("is an event for an EventSource that reconnects, which then stops or comes back", async () => {
    const serving = await served();
    const { path, query = "", cursor = "" } = await prepare(serving);
    const url = `${serving.server.url}${path}?${query}`;
    const reader = await openSse(url, { headers: { "last-event-id": cursor } });
    expect(reader.status).toBe(200);
    expect(reader.headers["content-type"]).toBe("text/event-stream");
    const { json, id } = await diagnosticIn(reader);
    expect(json[reason]).toMatchObject(details ?? {});
    fromJson(StreamDiagnosticSchema, json as never, { ignoreUnknownFields: false });
    if (returning) {
      expect(id).toBe(cursor);
    } else {
      expect(decodeCursor(id ?? "").closing).toBe(true);
      const again = await openSse(url.replace("kinds=teleport", ""), { headers: { "last-event-id": id ?? "" } });
      expect(again.status).toBe(204);
    }
  });
});

describe("a gap that the reader allowed", () => {
  it("is a notice with the exact loss, and the stream goes on", async () => {
    const serving = await served();
    const worker = serving.runtime.worker("w");
    const { cursor } = await worker.stdout("x");
    for (let i = 0; i < 10; i++) await worker.stdout(`${i}`);
    const url = `${serving.server.url}/v1/workers/w/events?on_expired=continue_with_gap&cursor=${cursor}`;
    const reader = await openSse(url);
    await reader.find("opened");
    const gap = JSON.parse((await reader.find("diagnostic")).data);
    expect(gap).toMatchObject({ severity: "SEVERITY_NOTICE", gap: { lostExact: true } });
    const outputs = (await reader.take(3, "output")).map(({ data }) => JSON.parse(data));
    const first = Number(outputs[0].workerSequence);
    const held = decodeCursor(cursor).position.workerOrdinal;
    expect(Number(gap.gap.lostEvents)).toBe(first - held - 1);
    expect(outputs.map((event) => Number(event.workerSequence))).toEqual([first, first + 1, first + 2]);
  });
});

describe("a log that can't be read", () => {
  it("refuses what needs it to begin", async () => {
    const serving = await served();
    await cursorOf(serving);
    await serving.log.close();
    const answer = await openSse(`${serving.server.url}/v1/events?last=1`);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    expect(JSON.parse(await answer.body()).diagnostic.logUnavailable).toBeDefined();
  });

  it("is a notice where the position is known: the log may come back", async () => {
    const serving = await served();
    const cursor = await cursorOf(serving);
    await serving.runtime.worker("w").stdout("unread");
    await serving.log.close();
    const reader = await openSse(`${serving.server.url}/v1/events`, { headers: { "last-event-id": cursor } });
    await reader.find("opened");
    const notice = await reader.find("diagnostic");
    expect(JSON.parse(notice.data)).toMatchObject({ severity: "SEVERITY_NOTICE", logUnavailable: {} });
    expect(notice.id).toBe(cursor);
  });
});

describe("phases", () => {
  it("says when the watch is live", async () => {
    const { server } = await serve();
    const reader = await openSse(`${server.url}/v1/events`);
    const notice = JSON.parse((await reader.find("diagnostic")).data);
    expect(notice).toMatchObject({ severity: "SEVERITY_NOTICE", caughtUp: {} });
  });
});
