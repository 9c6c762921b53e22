import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { EventKind } from "../../../gen/tailrace/v1/event_pb.ts";
import { edges } from "../edges/index.ts";
import { resumeFrom, view } from "../viewer.ts";
import { type LogUnderTest, publishBatch, publishIds, serveOver } from "../world.ts";

/** Heartbeats that move the cursor. All edges wait at once: the shortest interval is a second. */
export function bookmarkSuite(logs: LogUnderTest): void {
  describe("bookmarks", () => {
    it("come after silence, with the shortest interval where less is asked for", async () => {
      const { runtime, url } = await serveOver(logs);
      const began = Date.now();
      const { cursor } = await publishIds(runtime, "w", ["1"]);
      await Promise.all(
        edges.map(async (edge) => {
          const viewer = view(edge, url, { heartbeatInterval: { nanos: 1_000_000 } });
          expect((await viewer.find("opened")).heartbeatInterval).toMatchObject({ seconds: 1n, nanos: 0 });
          const bookmark = await viewer.find("bookmark");
          expect(viewer.ids).toEqual(["1"]);
          expect(bookmark.lagEvents).toBe(0n);
          expect(runtime.cursors.decode(bookmark.cursor).position.sequence).toBe(
            runtime.cursors.decode(cursor).position.sequence,
          );
          const timeMs = bookmark.serverTime === undefined ? 0 : timestampMs(bookmark.serverTime);
          expect(timeMs).toBeGreaterThanOrEqual(began);
          expect(timeMs).toBeLessThanOrEqual(Date.now());
        }),
      );
    });

    it("carry a filtered watch past what it does not want, so that a rare match never expires", async () => {
      const { runtime, url } = await serveOver(logs, { retention: { events: 50 } });
      const request = { kinds: [EventKind.NARRATION], heartbeatInterval: { seconds: 1n } };
      const viewers = await Promise.all(edges.map((edge) => view(edge, url, request).live()));
      const passed = await publishBatch(
        runtime,
        "w",
        Array.from({ length: 40 }, (_, index) => `unwanted ${index}`),
      );
      const cursors = await Promise.all(
        viewers.map(async (viewer) => {
          do await viewer.find("bookmark");
          while (runtime.cursors.decode(viewer.cursor).position.sequence < passed.lastSequence);
          viewer.leave();
          return viewer.cursor;
        }),
      );
      // What they have passed over leaves retention while they are away; nothing that they want is lost.
      await publishBatch(
        runtime,
        "w",
        Array.from({ length: 40 }, (_, index) => `more ${index}`),
      );
      await runtime.worker("w").narrate("act", "rare");
      for (const [index, edge] of edges.entries()) {
        const viewer = await view(edge, url, resumeFrom(cursors[index] as string, request)).live();
        expect(viewer.events.map(({ payload }) => payload.case)).toEqual(["narration"]);
      }
    });
  });
}
