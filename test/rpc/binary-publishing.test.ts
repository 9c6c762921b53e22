import { create, fromBinary, fromJson, type JsonObject, toBinary, toJson } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Interceptor } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import {
  type PublishEventsRequest,
  PublishEventsRequestSchema,
  PublishEventsResponseSchema,
} from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { limits } from "../../src/base/limits.ts";
import { type RpcServing, serveRpc } from "./serving.ts";

const output = { workerId: "w", payload: { case: "output" as const, value: { data: new Uint8Array([1, 2]) } } };

function post(serving: RpcServing, contentType: string, body: string | Uint8Array<ArrayBuffer>): Promise<Response> {
  return fetch(`${serving.h1}/tailrace.v1.PublisherService/PublishEvents`, {
    method: "POST",
    headers: { "content-type": contentType },
    body,
  });
}

/** A request of encoded events. */
function requestOf(events: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  for (const event of events) writer.tag(1, WireType.LengthDelimited).bytes(event);
  return writer.finish();
}

function encoded(init: Parameters<typeof create<typeof NewEventSchema>>[1]): Uint8Array {
  return toBinary(NewEventSchema, create(NewEventSchema, init));
}

async function invalidField(response: Response): Promise<{ field: string; description: string }> {
  expect(response.status).toBe(400);
  const [detail] = ((await response.json()) as JsonObject).details as JsonObject[];
  const { reason } = fromJson(StreamDiagnosticSchema, detail?.debug as JsonObject, { ignoreUnknownFields: true });
  if (reason.case !== "invalidRequest") throw new Error(`it was refused for ${reason.case}`);
  return reason.value;
}

describe("events published in binary", () => {
  test("may be of kinds that this release does not know", async () => {
    const serving = await serveRpc();
    const unknown = new BinaryWriter().tag(6, WireType.LengthDelimited).string("w");
    unknown.tag(7777, WireType.LengthDelimited).bytes(new Uint8Array([8, 1]));
    const body = requestOf([unknown.finish(), encoded(output)]);
    const response = await post(serving, "application/proto", body);
    const receipt = fromBinary(PublishEventsResponseSchema, new Uint8Array(await response.arrayBuffer()));
    expect(receipt.lastSequence - receipt.firstSequence).toBe(2n);
  });

  test.each([
    [
      "a kind of the runtime alone",
      encoded({ ...output, payload: { case: "runtimeStarted", value: {} } }),
      "events[1].runtime_started",
    ],
    ["no payload", encoded({ workerId: "w" }), "events[1].payload"],
    ["a field of the runtime", Uint8Array.from([8, 1, ...encoded(output)]), "events[1].#1"],
    ["a long id", encoded({ ...output, workerId: "x".repeat(limits.maxIdBytes + 1) }), "events[1].worker_id"],
    ["a custom event without a type", encoded({ payload: { case: "custom", value: {} } }), "events[1].custom.type"],
    [
      "one that is too large",
      encoded({ payload: { case: "alert", value: { message: "x".repeat(limits.maxEventBytes) } } }),
      "events[1]",
    ],
    ["bytes that are none", new Uint8Array([0x32, 5]), "body"],
    ["a text that is none", new Uint8Array([0xd2, 5, 3, 0x0a, 1, 0xff]), "body"],
  ])("%s is refused by its field, and nothing of the batch is kept", async (_what, event, field) => {
    const serving = await serveRpc();
    const fault = await invalidField(await post(serving, "application/proto", requestOf([encoded(output), event])));
    expect(fault.field).toBe(field);
    expect(serving.runtime.log.worker("w")).toBeUndefined();
  });

  test("an event that can't be decoded is said to be no part of a request, by its place", async () => {
    const serving = await serveRpc();
    const body = requestOf([encoded(output), new Uint8Array([0x32, 5])]);
    const { description } = await invalidField(await post(serving, "application/proto", body));
    expect(description).toMatch(/^it is no tailrace\.v1\.PublishEventsRequest: events\[1\]: /);
    const cut = await invalidField(await post(serving, "application/proto", new Uint8Array([0x0a, 5])));
    expect(cut).toMatchObject({
      field: "body",
      description: expect.stringContaining("tailrace.v1.PublishEventsRequest"),
    });
  });

  test("groups that readers could not decode are refused", async () => {
    const serving = await serveRpc();
    const nested = (depth: number): Uint8Array => {
      const groups = [...Array(depth).fill(0x4b), ...Array(depth).fill(0x4c)] as number[];
      return Uint8Array.from([...encoded(output), ...groups]);
    };
    expect((await post(serving, "application/proto", requestOf([nested(97)]))).status).toBe(200);
    expect(await invalidField(await post(serving, "application/proto", requestOf([nested(98)])))).toMatchObject({
      field: "body",
    });
  });

  test("are the same batch to a producer as in JSON", async () => {
    const serving = await serveRpc();
    const unusual = create(NewEventSchema, {
      workerId: "w",
      payload: { case: "workerUpdated", value: { info: { labels: { b: "1", a: "2" } } } },
    });
    const batch = create(PublishEventsRequestSchema, {
      events: [output, { ...output, payload: { case: "narration", value: { message: "ß" } } }, unusual],
      producerId: "p",
      firstProducerSequence: 1n,
    });
    const first = await post(serving, "application/proto", toBinary(PublishEventsRequestSchema, batch));
    const { cursor } = fromBinary(PublishEventsResponseSchema, new Uint8Array(await first.arrayBuffer()));
    const json = JSON.stringify(toJson(PublishEventsRequestSchema, batch));
    for (const contentType of ["application/json", "application/JSON; charset=utf-8"]) {
      const again = await post(serving, contentType, json);
      expect(await again.json()).toMatchObject({ cursor, duplicate: true });
    }
  });

  test("meet interceptors decoded", async () => {
    const seen: string[] = [];
    const interceptor: Interceptor = (next) => (request) => {
      const { events } = request.message as unknown as PublishEventsRequest;
      seen.push(...events.map(({ workerId }) => workerId));
      return next(request);
    };
    const serving = await serveRpc({ interceptors: [interceptor] });
    await post(serving, "application/proto", requestOf([encoded(output)]));
    expect(seen).toEqual(["w"]);
  });

  test("are taken as they came", async () => {
    const given: unknown[] = [];
    const serving = await serveRpc({
      change: (runtime) => {
        const publishEvents = runtime.publishEvents.bind(runtime);
        runtime.publishEvents = (request) => {
          given.push(...request.events);
          return publishEvents(request);
        };
      },
    });
    await post(serving, "application/proto", requestOf([encoded(output)]));
    expect(given).toEqual([encoded(output)]);
    expect(serving.runtime.log.worker("w")?.lastOrdinal).toBe(2);
  });
});
