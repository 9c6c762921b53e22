import { fromJson, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EventKind, EventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import {
  EventStreamService,
  type ListEventsResponse,
  ListEventsResponseSchema,
} from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { PublishEventsResponseSchema, PublisherService } from "../../../gen/tailrace/v1/publisher_service_pb.ts";
import {
  GetWorkerResponseSchema,
  ListWorkersResponseSchema,
  WorkerService,
} from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { rpcEdges } from "../edges/index.ts";
import { expectKnown } from "../edges/strict.ts";
import { resumeFrom, view } from "../viewer.ts";
import { idsOf, type LogUnderTest, publishBatch, publishIds, serveOver } from "../world.ts";

const strict = { ignoreUnknownFields: false } as const;

/** Calls with one answer: the same events, cursors and workers as the streams and routes show. */
export function pageSuite(logs: LogUnderTest): void {
  describe.each(rpcEdges)("answers over $name", (edge) => {
    it("have in pages what a watch has in frames, up to where they were asked to go", async () => {
      const { runtime, url } = await serveOver(logs);
      await publishIds(runtime, "w", idsOf("a", 3));
      const { cursor: until } = await publishBatch(runtime, "w", idsOf("b", 7));
      await publishIds(runtime, "w", ["beyond"]);
      const client = edge.client(url);
      const pages: ListEventsResponse[] = [];
      const request = { workerIds: ["w"], kinds: [EventKind.CUSTOM], untilCursor: until, pageSize: 4 };
      let page = await client.unary(EventStreamService.method.listEvents, request);
      for (pages.push(page); !page.complete && pages.length < 10; pages.push(page)) {
        const start = { case: "cursor" as const, value: page.cursor };
        page = await client.unary(EventStreamService.method.listEvents, { ...request, start });
      }
      client.close();
      for (const each of pages) expectKnown(ListEventsResponseSchema, each);
      const watched = await view(edge, url, { workerIds: ["w"], kinds: [EventKind.CUSTOM] }).live();
      const events = pages.flatMap((each) => each.events);
      expect(events.map(({ correlationId }) => correlationId)).toEqual([...idsOf("a", 3), ...idsOf("b", 7)]);
      expect(events.map((event) => toJson(EventSchema, event))).toEqual(
        watched.events.slice(0, -1).map((event) => toJson(EventSchema, event)),
      );
      const on = await view(edge, url, resumeFrom(page.cursor, { workerIds: ["w"] })).live();
      expect(on.ids).toEqual(["beyond"]);
    });

    it("give a publisher the position to watch from, and a repeat its first answer", async () => {
      const { url } = await serveOver(logs);
      const client = edge.client(url);
      const batch = (ids: readonly string[], first: bigint) => ({
        producerId: "p",
        firstProducerSequence: first,
        events: ids.map((id) => ({
          workerId: "w",
          correlationId: id,
          payload: { case: "output" as const, value: { data: new Uint8Array(2) } },
        })),
      });
      const { publishEvents } = PublisherService.method;
      const first = await client.unary(publishEvents, batch(["1", "2"], 1n));
      const again = await client.unary(publishEvents, batch(["1", "2"], 1n));
      await client.unary(publishEvents, batch(["3"], 3n));
      client.close();
      expectKnown(PublishEventsResponseSchema, first);
      expect(again).toEqual({ ...first, duplicate: true });
      expect(first.duplicate).toBe(false);
      expect((await view(edge, url).live()).ids).toEqual(["1", "2", "3"]);
      expect((await view(edge, url, resumeFrom(first.cursor)).live()).ids).toEqual(["3"]);
    });

    it("show the workers as the routes do, with a position that neither repeats nor misses", async () => {
      const { runtime, url } = await serveOver(logs);
      await runtime.worker("w").stdout("1");
      await publishIds(runtime, "x", ["1"]);
      const client = edge.client(url);
      const { listWorkers, getWorker } = WorkerService.method;
      const list = await client.unary(listWorkers, {});
      const one = await client.unary(getWorker, { workerId: "w" });
      const unchanged = await client.unary(getWorker, { workerId: "w", ifRevisionNot: one.revision });
      client.close();
      expectKnown(ListWorkersResponseSchema, list);
      expectKnown(GetWorkerResponseSchema, one);
      expect(list.workers.map(({ workerId }) => workerId)).toEqual(["w", "x"]);
      expect([unchanged.notModified, unchanged.worker, unchanged.cursor !== ""]).toEqual([true, undefined, true]);
      const route = await fetch(`${url}/v1/workers`);
      const routeOne = await fetch(`${url}/v1/workers/w`);
      expect(fromJson(ListWorkersResponseSchema, (await route.json()) as never, strict)).toEqual(list);
      expect(fromJson(GetWorkerResponseSchema, (await routeOne.json()) as never, strict)).toEqual(one);
      const etag = routeOne.headers.get("etag") ?? "";
      expect((await fetch(`${url}/v1/workers/w`, { headers: { "if-none-match": etag } })).status).toBe(304);

      await publishIds(runtime, "w", ["next"]);
      expect((await view(edge, url, resumeFrom(one.cursor, { workerIds: ["w"] })).live()).ids).toEqual(["next"]);
    });
  });
}
