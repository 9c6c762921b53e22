import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import { IfMissing, OnExpired, StartAt } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { hasReason } from "../../src/base/errors.ts";
import { type PathScope, parseWatchQuery } from "../../src/gateway/query.ts";

const nowMs = Date.parse("2026-01-31T12:00:00Z");

function parse(query: string, scope: PathScope = {}, lastEventId = "") {
  return parseWatchQuery({ query, scope, lastEventId, nowMs });
}

describe("a watch in a query", () => {
  it("is a watch of the whole runtime from the earliest where nothing is said", () => {
    const request = parse("");
    expect(request.workerIds).toEqual([]);
    expect(request.jobId).toBe("");
    expect(request.start.case).toBeUndefined();
    expect(request.kinds).toEqual([]);
    expect(request.heartbeatInterval).toBeUndefined();
  });

  it("takes every parameter", () => {
    const request = parse(
      "worker_ids=a,b%20c,d&kinds=output,narration&on_expired=continue_with_gap&if_missing=wait&heartbeat=20s&start_at=latest",
    );
    expect(request.workerIds).toEqual(["a", "b c", "d"]);
    expect(request.kinds).toEqual([EventKind.OUTPUT, EventKind.NARRATION]);
    expect(request.onExpired).toBe(OnExpired.CONTINUE_WITH_GAP);
    expect(request.ifMissing).toBe(IfMissing.WAIT);
    expect(request.heartbeatInterval?.seconds).toBe(20n);
    expect(request.start).toEqual({ case: "startAt", value: StartAt.LATEST });
  });

  it("takes a list whose commas are escaped, as URLSearchParams writes it", () => {
    expect(parse(new URLSearchParams({ worker_ids: "a,b" }).toString()).workerIds).toEqual(["a", "b"]);
  });

  it.each([
    ["cursor=abc", { case: "cursor", value: "abc" }],
    ["cursor=", { case: "cursor", value: "" }],
    ["start_at=earliest", { case: "startAt", value: StartAt.EARLIEST }],
    ["last=100", { case: "last", value: 100 }],
    ["last=0", { case: "last", value: 0 }],
  ])("reads the start %s", (query, start) => {
    expect(parse(query).start).toEqual(start);
  });

  it("reads a start in time", () => {
    const { start } = parse("since=5m");
    expect(start.case === "since" && timestampMs(start.value)).toBe(nowMs - 300_000);
  });

  it.each(["cursor=query", "start_at=latest", "last=3", "since=5m", ""])(
    "lets Last-Event-ID beat the start of %j",
    (query) => {
      expect(parse(query, {}, "header").start).toEqual({ case: "cursor", value: "header" });
    },
  );

  it("takes the scope from the path", () => {
    expect(parse("", { workerId: "w/1" }).workerIds).toEqual(["w/1"]);
    expect(parse("", { jobId: "j" }).jobId).toBe("j");
  });

  it.each([
    ["curser=abc", "curser"],
    ["worker=a", "worker"],
    [`${"x".repeat(5000)}=1`, "x".repeat(64)],
    ["cursor=a&cursor=b", "cursor"],
    ["worker_ids=a&worker_ids=b", "worker_ids"],
    ["start_at=LATEST", "start_at"],
    ["start_at=", "start_at"],
    ["start_at=latest&last=3", "start_at, last"],
    ["cursor=a&since=5m", "cursor, since"],
    ["since=yesterday", "since"],
    ["last=-1", "last"],
    ["last=1e3", "last"],
    ["last=99999999999", "last"],
    ["last=5000000000", "last"],
    ["kinds=", "kinds[0]"],
    ["kinds=output,,narration", "kinds[1]"],
    ["kinds=OUTPUT", "kinds[0]"],
    ["kinds=output,teleport", "kinds[1]"],
    ["kinds=unspecified", "kinds[0]"],
    ["worker_ids=", "worker_ids[0]"],
    [`worker_ids=${"a,".repeat(256)}a`, "worker_ids"],
    ["on_expired=gap", "on_expired"],
    ["if_missing=yes", "if_missing"],
    ["heartbeat=15", "heartbeat"],
    ["heartbeat=", "heartbeat"],
  ])("refuses %j, naming the parameter", (query, field) => {
    expect(fieldRefused(() => parse(query))).toBe(field);
  });

  it("refuses worker_ids where the path names a worker", () => {
    expect(fieldRefused(() => parse("worker_ids=b", { workerId: "a" }))).toBe("worker_ids");
  });

  it("refuses a wrong query also where Last-Event-ID makes its start irrelevant", () => {
    expect(fieldRefused(() => parse("last=x", {}, "header"))).toBe("last");
    expect(parse("last=3&cursor=c", {}, "header").start).toEqual({ case: "cursor", value: "header" });
  });
});

function fieldRefused(parseIt: () => unknown): string | undefined {
  try {
    parseIt();
  } catch (error) {
    if (hasReason(error, "invalid_request")) return error.details.field;
    throw error;
  }
  return undefined;
}
