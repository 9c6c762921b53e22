import { describe, expect, it } from "vitest";
import { OnExpired } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { decodeCursor, origin } from "../../../src/events/cursor.ts";
import { edges } from "../edges/index.ts";
import { ShiftedClock } from "../shifted-clock.ts";
import { resumeFrom, view } from "../viewer.ts";
import { idsOf, type LogUnderTest, publishBatch, publishIds, serveOver } from "../world.ts";

/** What retention takes, and what its readers are told. */
export function retentionSuite(logs: LogUnderTest): void {
  describe.each(edges)("retention over $name", (edge) => {
    it("never takes a quiet worker's history for a chatty one, whose late reader is told the exact loss", async () => {
      const { runtime, url } = await serveOver(logs, { retention: { workerEvents: 10, events: 40 } });
      const quiet = await publishIds(runtime, "quiet", ["q1"]);
      const chatty = await publishIds(runtime, "chatty", ["c1"]);
      for (let i = 0; i < 10; i++) await publishBatch(runtime, "chatty", idsOf(`c${i}-`, 30));
      await publishIds(runtime, "quiet", ["q2", "q3"]);

      const quietly = await view(edge, url, resumeFrom(quiet.cursor, { workerIds: ["quiet"] })).live();
      expect(quietly.ids).toEqual(["q2", "q3"]);

      const late = view(edge, url, resumeFrom(chatty.cursor, { workerIds: ["chatty"] }));
      const { detail } = await late.end();
      const retained = await view(edge, url, { workerIds: ["chatty"] }).live();
      const first = Number(retained.events[0]?.workerSequence);
      const lost = first - decodeCursor(chatty.cursor).position.workerOrdinal - 1;
      expect(lost).toBeGreaterThan(250);
      expect(detail?.reason).toMatchObject({
        case: "cursorExpired",
        value: { requestedCursor: chatty.cursor, lostEvents: BigInt(lost), lostExact: true },
      });
      // The position that it is offered instead loses nothing more.
      const earliest = detail?.reason.case === "cursorExpired" ? detail.reason.value.earliestCursor : "";
      const offered = await view(edge, url, resumeFrom(earliest, { workerIds: ["chatty"] })).live();
      expect(offered.ids).toEqual(retained.ids);
    });

    it("has expired the position before everything once something is gone", async () => {
      const { runtime, url } = await serveOver(logs, { retention: { workerEvents: 3 } });
      await publishIds(runtime, "w", idsOf("e", 10));
      const viewer = view(edge, url, resumeFrom(runtime.cursors.encode(origin), { workerIds: ["w"] }));
      const { detail } = await viewer.end();
      expect(viewer.events).toEqual([]);
      expect(detail?.reason.case).toBe("cursorExpired");
    });

    it("has expired a position also where nothing at all is left, and says so", async () => {
      const clock = new ShiftedClock();
      const { runtime, url, log } = await serveOver(logs, { clock, retention: { ageMs: 60_000 } });
      const cursors = [runtime.cursors.encode(origin), (await publishIds(runtime, "gone", ["g1", "g2"])).cursor];
      await publishIds(runtime, "gone", ["g3"]);
      clock.shift(61_000);
      await publishIds(runtime, "other", ["later"]);
      expect(log.worker("gone")?.retainedEvents).toBe(0);
      for (const cursor of cursors) {
        const viewer = view(edge, url, resumeFrom(cursor, { workerIds: ["gone"] }));
        expect((await viewer.end()).detail?.reason.case).toBe("cursorExpired");
        expect(viewer.events).toEqual([]);
        const on = view(edge, url, resumeFrom(cursor, { workerIds: ["gone"], onExpired: OnExpired.CONTINUE_WITH_GAP }));
        await on.diagnostic("gap");
        await on.live();
        expect(on.events).toEqual([]);
      }
      const fresh = await view(edge, url, { workerIds: ["gone"] }).live();
      expect(fresh.events).toEqual([]);
      await publishIds(runtime, "gone", ["back"]);
      await fresh.until(1);
      expect(fresh.ids).toEqual(["back"]);
    });
  });
}
