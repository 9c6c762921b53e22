import { create, fromBinary, type JsonObject, type Message, toBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type Event, EventSchema, type NewEvent, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import type { CustomEvent } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { PublisherService } from "../../../gen/tailrace/v1/publisher_service_pb.ts";
import { kindByCase } from "../../../src/events/kinds.ts";
import { pendingEvent } from "../../../src/events/stored.ts";
import { filled } from "../../support/filled.ts";
import { openSse } from "../../support/sse-reader.ts";
import { connectHttp1, connectJson } from "../edges/connect.ts";
import { edges, rpcEdges, sseEdges } from "../edges/index.ts";
import { strangerField, strangerKind } from "../edges/strict.ts";
import { readJsonFrames } from "../json-frames.ts";
import { view } from "../viewer.ts";
import { type LogUnderTest, publishIds, serveOver, type World } from "../world.ts";

/** An event of every kind, each of a worker and a job of its own, with every field of its payload set. */
function oneOfEachKind(): NewEvent[] {
  return [...kindByCase.values()].map((kind) => {
    const event = filled(NewEventSchema, kind) as NewEvent;
    return { ...event, workerId: `worker of kind ${kind}`, jobId: `job of kind ${kind}` };
  });
}

/** Fields that the schema does not have, as plain bytes whatever library read them. */
function strangersOf(message: Message | undefined): object[] {
  return (message?.$unknown ?? []).map((field) => ({ ...field, data: Uint8Array.from(field.data) }));
}

/** What is in the events is the same over every edge, also what this release does not know. */
export function contentSuite(logs: LogUnderTest): void {
  const serveKinds = async (): Promise<World & { events: readonly NewEvent[] }> => {
    const world = await serveOver(logs);
    const events = oneOfEachKind();
    // Past the runtime, which lets nobody else say how a job is.
    for (const event of events) await world.log.append({ events: [pendingEvent(event)] });
    return { ...world, events };
  };

  describe("an event of every kind", () => {
    it("is the same message over every edge, and the one that was published", async () => {
      const { url, events } = await serveKinds();
      const [first, ...others] = await Promise.all(edges.map(async (edge) => (await view(edge, url).live()).events));
      const asJson = (seen: readonly Event[] = []) => seen.map((event) => toJson(EventSchema, event));
      for (const seen of others) expect(asJson(seen)).toEqual(asJson(first));
      const published = events.map((event) => toJson(NewEventSchema, event));
      const received = (first ?? [])
        .filter(({ correlationId }) => correlationId !== "")
        .map(({ cursor, sequence, workerSequence, time, ...rest }) => {
          expect([cursor !== "", sequence > 0n, workerSequence > 0n, time !== undefined]).not.toContain(false);
          return toJson(NewEventSchema, { ...rest, $typeName: NewEventSchema.typeName });
        });
      expect(received).toEqual(published);
    });

    it("has the same proto3 JSON over RPC and SSE, which is the library's", async () => {
      const { url } = await serveKinds();
      const viewer = await view(connectHttp1, url).live();
      const canonical = viewer.events.map((event) => toJson(EventSchema, event));
      const rpc = await readJsonFrames(url, canonical.length);
      expect(rpc).toEqual(canonical);
      const reader = await openSse(`${url}/v1/events`);
      const sse: JsonObject[] = [];
      for (let message = await reader.next(); sse.length < canonical.length; message = await reader.next()) {
        if (message === undefined) throw new Error("the stream ended");
        if (!["opened", "diagnostic", "bookmark"].includes(message.event ?? "")) sse.push(JSON.parse(message.data));
      }
      expect(sse).toEqual(canonical);
    });
  });

  describe("what this release does not know", () => {
    const field = { no: strangerField, wireType: 0, data: Uint8Array.of(42) };
    const payload = { no: strangerKind, wireType: 2, data: Uint8Array.of(3, 1, 2, 3) };

    const publishStrangers = async (): Promise<World> => {
      const world = await serveOver(logs);
      await publishIds(world.runtime, "w", ["before"]);
      const client = connectHttp1.client(world.url);
      const known = create(NewEventSchema, { workerId: "w", payload: { case: "custom", value: { type: "t" } } });
      known.$unknown = [field];
      (known.payload.value as CustomEvent).$unknown = [field];
      const unknown = create(NewEventSchema, { workerId: "w", correlationId: "of another kind" });
      unknown.$unknown = [payload];
      await client.unary(PublisherService.method.publishEvents, { events: [known, unknown] });
      await publishIds(world.runtime, "w", ["after"]);
      return world;
    };

    it.each(rpcEdges.filter((edge) => edge !== connectJson))(
      "survives from publisher to watch over $name",
      async (edge) => {
        const { url } = await publishStrangers();
        const { events } = await view(edge, url, { workerIds: ["w"] }).live();
        const [, , withField, withKind] = events;
        expect(withField?.payload.case).toBe("custom");
        expect(strangersOf(withField)).toEqual([field]);
        expect(strangersOf(withField?.payload.value)).toEqual([field]);
        expect(withKind?.payload.case).toBeUndefined();
        expect(strangersOf(withKind)).toEqual([payload]);
        // And on through a relay that writes what it read.
        const relayed = fromBinary(EventSchema, toBinary(EventSchema, withKind as Event));
        expect(strangersOf(relayed)).toEqual([payload]);
        expect(toJson(EventSchema, relayed)).toEqual(toJson(EventSchema, withKind as Event));
      },
    );

    it.each([connectJson, ...sseEdges])("is shown without its payload over $name", async (edge) => {
      const { url } = await publishStrangers();
      // That a message is named `unknown` is held by the edge itself.
      const { events } = await view(edge, url, { workerIds: ["w"] }).live();
      expect(events.map(({ payload: { case: kind } }) => kind)).toEqual([
        "workerCreated",
        "custom",
        "custom",
        undefined,
        "custom",
      ]);
      expect(events[3]).toMatchObject({ workerId: "w", correlationId: "of another kind", workerSequence: 4n });
    });
  });
}
