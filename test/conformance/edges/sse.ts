import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { StreamDiagnosticSchema } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import { EventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import {
  BookmarkSchema,
  EventBatchSchema,
  IfMissing,
  OnExpired,
  StartAt,
  StreamOpenedSchema,
} from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { kindByCase, kindName } from "../../../src/events/kinds.ts";
import { openSse, type SseReader } from "../../support/sse-reader.ts";
import type { Edge, EdgeWatch, Ending, Frame, WatchRequest } from "./edge.ts";
import { expectKnown } from "./strict.ts";

/** Server-sent events over HTTP/1.1 or HTTP/2. `open`: makes the connection. Default: until the test ends. */
export function sseEdge(name: string, version: "http1" | "http2", open: typeof openSse = openSse): Edge {
  return {
    name,
    watch: (url, request, { headers = {} } = {}) => new SseWatch(open(url + targetOf(request), { version, headers })),
  };
}

const strictJson = { ignoreUnknownFields: false } as const;

class SseWatch implements EdgeWatch {
  readonly ending: Promise<Ending>;
  readonly #opening: Promise<SseReader>;
  #settle: (ending: Ending) => void = () => undefined;

  constructor(opening: Promise<SseReader>) {
    this.ending = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#opening = opening;
    // Told by `next`.
    this.#opening.catch(() => undefined);
  }

  async next(): Promise<Frame | undefined> {
    const reader = await this.#opening;
    if (reader.status !== 200) {
      this.#settle(await refusal(reader));
      return undefined;
    }
    // Reads on demand only, as the other edges do: what nobody asks for stays with the server.
    reader.resume();
    const message = await reader.next();
    reader.pause();
    if (message === undefined) {
      if (reader.failure !== undefined) throw reader.failure;
      this.#settle({ code: undefined, detail: undefined, status: 200 });
      return undefined;
    }
    return frameOf(message.event ?? "message", JSON.parse(message.data), message.id ?? "");
  }

  leave(): void {
    this.#opening.then(
      (reader) => reader.abandon(),
      () => undefined,
    );
  }
}

async function refusal(reader: SseReader): Promise<Ending> {
  const body = await reader.body();
  if (reader.status === 204) {
    if (body !== "") throw new Error(`204 with a body: ${body}`);
    return { code: undefined, detail: undefined, status: 204 };
  }
  if (reader.headers["content-type"] !== "application/problem+json") {
    throw new Error(`${reader.status} with ${reader.headers["content-type"]}: ${body}`);
  }
  const problem = JSON.parse(body);
  if (problem.status !== reader.status || typeof problem.title !== "string" || typeof problem.detail !== "string") {
    throw new Error(`no problem in the sense of RFC 9457: ${body}`);
  }
  const detail = problem.diagnostic && fromJson(StreamDiagnosticSchema, problem.diagnostic, strictJson);
  return { code: undefined, detail, status: reader.status };
}

/** The frame that a message stands for; its id must be the cursor that the frame carries. */
function frameOf(name: string, data: JsonValue, id: string): Frame {
  const controls = {
    opened: StreamOpenedSchema,
    bookmark: BookmarkSchema,
    diagnostic: StreamDiagnosticSchema,
  } as const;
  if (Object.hasOwn(controls, name)) {
    const schema = controls[name as keyof typeof controls];
    const value = fromJson(schema as typeof BookmarkSchema, data, strictJson);
    expectKnown(schema, value);
    if (id !== value.cursor) throw new Error(`id ${id} of a ${name} whose cursor is ${value.cursor}`);
    return { case: name, value } as unknown as Frame;
  }
  const event = fromJson(EventSchema, data, strictJson);
  expectKnown(EventSchema, event);
  const kind = kindByCase.get(event.payload.case ?? "");
  const expected = kind === undefined ? "unknown" : kindName(kind);
  if (name !== expected) throw new Error(`a message named ${name} with the payload ${event.payload.case}`);
  return { case: "events", value: create(EventBatchSchema, { events: [event], cursor: id, runtimeId: "" }) };
}

/** Path and query of a watch. */
export function targetOf(request: WatchRequest): string {
  const query = new URLSearchParams();
  const workerIds = request.workerIds ?? [];
  let path = "/v1/events";
  if (request.jobId !== undefined && request.jobId !== "")
    path = `/v1/jobs/${encodeURIComponent(request.jobId)}/events`;
  else if (workerIds.length === 1 && workerIds[0] !== "") {
    path = `/v1/workers/${encodeURIComponent(workerIds[0] as string)}/events`;
  } else if (workerIds.length > 0) query.set("worker_ids", workerIds.join(","));
  const { start, kinds = [], onExpired, ifMissing, heartbeatInterval } = request;
  if (kinds.length > 0) query.set("kinds", kinds.map((kind) => kindName(kind) ?? `kind_${kind}`).join(","));
  if (start?.case === "cursor") query.set("cursor", start.value);
  if (start?.case === "last") query.set("last", String(start.value));
  if (start?.case === "startAt") query.set("start_at", nameIn(StartAt, start.value));
  if (start?.case === "since") {
    const ms = Number(start.value.seconds ?? 0n) * 1000 + (start.value.nanos ?? 0) / 1e6;
    query.set("since", new Date(ms).toISOString());
  }
  if (onExpired !== undefined) query.set("on_expired", nameIn(OnExpired, onExpired));
  if (ifMissing !== undefined) query.set("if_missing", nameIn(IfMissing, ifMissing));
  if (heartbeatInterval !== undefined) {
    const ms = Number(heartbeatInterval.seconds ?? 0n) * 1000 + (heartbeatInterval.nanos ?? 0) / 1e6;
    query.set("heartbeat", `${ms}ms`);
  }
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

function nameIn(values: Record<string, string | number>, value: number): string {
  const name = Object.keys(values).find((key) => values[key] === value && Number.isNaN(Number(key)));
  return (name ?? String(value)).toLowerCase();
}
