import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { EventKind } from "../../../gen/tailrace/v1/event_pb.ts";
import { IfMissing, StartAt } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { origin } from "../../../src/events/cursor.ts";
import { edges } from "../edges/index.ts";
import { view } from "../viewer.ts";
import { idsOf, type LogUnderTest, publishBatch, publishIds, serveOver } from "../world.ts";

/** What a watch gives, from every start and in every scope. */
export function deliverySuite(logs: LogUnderTest): void {
  describe.each(edges)("delivery over $name", (edge) => {
    it("opens with where it begins and what there is", async () => {
      const { runtime, url } = await serveOver(logs);
      const { cursor } = await publishIds(runtime, "w", ["a", "b"]);
      const viewer = view(edge, url, { workerIds: ["w"], heartbeatInterval: { seconds: 20n } });
      const opened = await viewer.find("opened");
      expect(viewer.cases).toEqual(["opened"]);
      expect(opened).toMatchObject({
        runtimeId: runtime.id,
        cursor: runtime.cursors.encode(runtime.log.bounds({ kind: "workers", workerIds: ["w"] }).floor),
        earliestCursor: opened.cursor,
        latestCursor: cursor,
        heartbeatInterval: { seconds: 20n, nanos: 0 },
      });
    });

    it("gives what was published before and what comes after, in order, none twice", async () => {
      const { runtime, url } = await serveOver(logs);
      await publishBatch(runtime, "a", idsOf("before-", 20));
      const viewer = view(edge, url);
      await viewer.live();
      const during = idsOf("during-", 20);
      for (const id of during) await publishBatch(runtime, id.endsWith("5") ? "b" : "a", [id]);
      const last = await publishBatch(runtime, "b", idsOf("after-", 20));
      while (viewer.ids.length < 60) await viewer.find("events");
      expect(viewer.ids).toEqual([...idsOf("before-", 20), ...during, ...idsOf("after-", 20)]);
      expect(viewer.events.at(-1)?.cursor).toBe(last.cursor);
      expect(Number(viewer.events.at(-1)?.sequence)).toBe(last.lastSequence);
    });

    it("gives one worker's events where one is asked for", async () => {
      const { runtime, url } = await serveOver(logs);
      await publishIds(runtime, "mine", ["1"]);
      await publishIds(runtime, "other", ["no"]);
      const viewer = await view(edge, url, { workerIds: ["mine"] }).live();
      await publishIds(runtime, "other", ["no"]);
      await publishIds(runtime, "mine", ["2", "3"]);
      while (viewer.ids.length < 3) await viewer.find("events");
      expect(viewer.ids).toEqual(["1", "2", "3"]);
      expect(new Set(viewer.events.map((event) => event.workerId))).toEqual(new Set(["mine"]));
      expect(viewer.events.map((event) => event.workerSequence)).toEqual([1n, 2n, 3n, 4n]);
    });

    it("gives the events of a set of workers in their common order", async () => {
      const { runtime, url } = await serveOver(logs);
      await publishIds(runtime, "a", ["a1"]);
      await publishIds(runtime, "b", ["b1"]);
      await publishIds(runtime, "c", ["c1"]);
      const viewer = await view(edge, url, { workerIds: ["a", "c"] }).live();
      await publishIds(runtime, "c", ["c2"]);
      await publishIds(runtime, "b", ["b2"]);
      await publishIds(runtime, "a", ["a2"]);
      while (viewer.ids.length < 4) await viewer.find("events");
      expect(viewer.ids).toEqual(["a1", "c1", "c2", "a2"]);
    });

    it("gives the kinds that are asked for, and no others", async () => {
      const { runtime, url } = await serveOver(logs);
      const worker = runtime.worker("w");
      await worker.stdout("one");
      await worker.narrate("act", "before");
      await worker.custom("thing", new Uint8Array(3));
      const viewer = await view(edge, url, { kinds: [EventKind.NARRATION, EventKind.CUSTOM] }).live();
      await worker.stdout("two");
      await worker.narrate("act", "after");
      await viewer.until(3);
      await worker.stdout("three");
      await worker.custom("thing", new Uint8Array(3));
      await viewer.until(4);
      expect(viewer.events.map(({ payload }) => payload.case)).toEqual(["narration", "custom", "narration", "custom"]);
    });

    it("begins at the end where only what comes is asked for", async () => {
      const { runtime, url } = await serveOver(logs);
      await publishIds(runtime, "w", ["old"]);
      const viewer = await view(edge, url, { start: { case: "startAt", value: StartAt.LATEST } }).live();
      await publishIds(runtime, "w", ["new"]);
      await viewer.until(1);
      expect(viewer.ids).toEqual(["new"]);
    });

    it("begins at the beginning where that is asked for", async () => {
      const { runtime, url } = await serveOver(logs);
      await publishIds(runtime, "w", ["1", "2"]);
      const viewer = await view(edge, url, { start: { case: "startAt", value: StartAt.EARLIEST } }).live();
      expect(viewer.ids).toEqual(["1", "2"]);
      expect(viewer.events[0]?.payload.case).toBe("runtimeStarted");
    });

    it("begins before the last events of the scope and kinds", async () => {
      const { runtime, url } = await serveOver(logs);
      const worker = runtime.worker("w");
      for (let i = 1; i <= 5; i++) {
        await worker.narrate("act", `${i}`);
        await worker.stdout("between");
      }
      await runtime.worker("other").narrate("act", "of another worker");
      const start = { case: "last", value: 2 } as const;
      const viewer = await view(edge, url, { start, workerIds: ["w"], kinds: [EventKind.NARRATION] }).live();
      const messages = viewer.events.map(({ payload }) => payload.case === "narration" && payload.value.message);
      expect(messages).toEqual(["4", "5"]);
    });

    it("begins with what was accepted at a time or later", async () => {
      const { runtime, url } = await serveOver(logs);
      await publishIds(runtime, "w", ["early"]);
      // The log keeps milliseconds: the next event must have another one.
      const timeMs = Date.now() + 2;
      while (Date.now() < timeMs) await new Promise((resolve) => setImmediate(resolve));
      await publishIds(runtime, "w", ["late", "later"]);
      const viewer = await view(edge, url, { start: { case: "since", value: timestampFromMs(timeMs) } }).live();
      expect(viewer.ids).toEqual(["late", "later"]);
    });

    it("waits for a worker that does not exist yet, where that is asked for", async () => {
      const { runtime, url } = await serveOver(logs);
      const viewer = await view(edge, url, { workerIds: ["late"], ifMissing: IfMissing.WAIT }).live();
      await publishIds(runtime, "other", ["no"]);
      await publishIds(runtime, "late", ["1", "2"]);
      while (viewer.ids.length < 2) await viewer.find("events");
      expect(viewer.ids).toEqual(["1", "2"]);
      expect(viewer.events.map(({ payload }) => payload.case)).toEqual(["workerCreated", "custom", "custom"]);
    });

    it("takes the position before everything for the beginning", async () => {
      const { runtime, url } = await serveOver(logs);
      await publishIds(runtime, "w", ["1", "2"]);
      const viewer = view(edge, url, { start: { case: "cursor", value: runtime.cursors.encode(origin) } });
      await viewer.live();
      expect(viewer.ids).toEqual(["1", "2"]);
    });

    it("says that it is live on a log in which there is nothing for it", async () => {
      const { runtime, url } = await serveOver(logs);
      const viewer = await view(edge, url, { kinds: [EventKind.OUTPUT] }).live();
      expect(viewer.cases).toEqual(["opened", "diagnostic"]);
      await runtime.worker("w").stdout("first");
      expect((await viewer.until(1)).length).toBe(1);
    });
  });
}
