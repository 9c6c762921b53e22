import { describe, expect, it } from "vitest";
import { EventKind } from "../../../gen/tailrace/v1/event_pb.ts";
import { OnExpired } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { WorkerOutcome } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { decodeCursor } from "../../../src/events/cursor.ts";
import { edges, rpcEdges, sseEdges } from "../edges/index.ts";
import { reconnect, resumeFrom, view } from "../viewer.ts";
import { idsOf, type LogUnderTest, publishBatch, publishIds, serveOver } from "../world.ts";

const custom = { case: "custom", value: { type: "test" } } as const;
const output = { case: "output", value: { data: new Uint8Array(9) } } as const;

/** Leaving and coming back. In each case events are published while nobody watches. */
export function resumeSuite(logs: LogUnderTest): void {
  describe.each(edges)("resuming over $name", (edge) => {
    it.each([
      { scope: "the runtime", request: {}, unwanted: undefined },
      { scope: "a worker", request: { workerIds: ["w"] }, unwanted: { workerId: "other", payload: custom } },
      { scope: "some kinds", request: { kinds: [EventKind.CUSTOM] }, unwanted: { workerId: "w", payload: output } },
    ])("gives exactly what was published meanwhile: $scope", async ({ request, unwanted }) => {
      const { runtime, url } = await serveOver(logs);
      const seen: string[] = [];
      const published: string[] = [];
      const publish = async (ids: readonly string[]): Promise<void> => {
        if (unwanted !== undefined) await runtime.publish([{ ...unwanted, correlationId: "unwanted" }]);
        await publishBatch(runtime, "w", ids.slice(0, 2));
        await publishIds(runtime, "w", ids.slice(2));
        published.push(...ids);
      };
      await runtime.worker("w").stdout("the worker exists");
      let cursor: string | undefined;
      for (let visit = 1; visit <= 4; visit++) {
        const viewer = await view(edge, url, cursor === undefined ? request : resumeFrom(cursor, request)).live();
        await publish(idsOf(`here-${visit}-`, 3));
        while (seen.length + viewer.ids.length < published.length) await viewer.find("events");
        viewer.leave();
        seen.push(...viewer.ids);
        cursor = viewer.cursor;
        await publish(idsOf(`away-${visit}-`, 5));
      }
      const last = await view(edge, url, resumeFrom(cursor as string, request)).live();
      expect([...seen, ...last.ids]).toEqual(published);
    });

    it("goes on after any single event, also in the middle of a batch", async () => {
      const { runtime, url } = await serveOver(logs);
      const ids = idsOf("e", 12);
      await publishBatch(runtime, "w", ids);
      const all = await view(edge, url).live();
      expect(all.ids).toEqual(ids);
      for (const event of all.events.filter(({ correlationId }) => correlationId !== "")) {
        const rest = await view(edge, url, resumeFrom(event.cursor)).live();
        expect(rest.ids).toEqual(ids.slice(ids.indexOf(event.correlationId) + 1));
        rest.leave();
      }
    });

    it("goes on after a gap where that is allowed, and says how much it was", async () => {
      const { runtime, url } = await serveOver(logs, { retention: { workerEvents: 5 } });
      const { cursor } = await publishIds(runtime, "w", ["first"]);
      await publishBatch(runtime, "w", idsOf("e", 20));
      const request = resumeFrom(cursor, { workerIds: ["w"], onExpired: OnExpired.CONTINUE_WITH_GAP });
      const viewer = view(edge, url, request);
      const { severity, reason } = await viewer.diagnostic("gap");
      await viewer.live();
      expect(severity).toBe(1);
      const held = decodeCursor(cursor).position.workerOrdinal;
      const first = Number(viewer.events[0]?.workerSequence);
      expect(viewer.ids.at(-1)).toBe("e20");
      expect(reason.value).toMatchObject({ fromCursor: cursor, lostEvents: BigInt(first - held - 1), lostExact: true });
      expect(viewer.ids).toEqual(idsOf("e", 20).slice(-viewer.ids.length));
    });

    it("ends with the last event of a worker that ended, and again at once for who comes back", async () => {
      const { runtime, url } = await serveOver(logs);
      const request = { workerIds: ["w"] };
      await publishIds(runtime, "w", ["1"]);
      const viewer = await view(edge, url, request).live();
      await publishIds(runtime, "w", ["2"]);
      const end = await runtime.worker("w").end({ outcome: WorkerOutcome.FAILED, exitCode: 3 });
      const ending = await viewer.end();
      expect(viewer.events.at(-1)?.payload.case).toBe("workerEnded");
      expect(viewer.terminal?.reason).toMatchObject({
        case: "streamEnded",
        value: { end: { case: "worker", value: { outcome: WorkerOutcome.FAILED, exitCode: 3 } } },
      });
      expect([ending.code ?? "ok", ending.detail]).toEqual(["ok", undefined]);
      expect(decodeCursor(viewer.cursor)).toMatchObject({ closing: true, position: { sequence: end.lastSequence } });

      const atTheEnd = view(edge, url, resumeFrom(end.cursor, request));
      await atTheEnd.end();
      expect(atTheEnd.cases).not.toContain("events");
      expect(atTheEnd.terminal?.reason.case).toBe("streamEnded");

      const before = view(edge, url, { ...request, start: { case: "last", value: 1 } });
      await before.end();
      expect(before.events.map(({ payload }) => payload.case)).toEqual(["workerEnded"]);
      expect(before.terminal?.reason.case).toBe("streamEnded");
    });
  });

  describe("a closing cursor", () => {
    it.each(rpcEdges)("has $name repeat the diagnostic", async (edge) => {
      const { runtime, url } = await serveOver(logs);
      await runtime.worker("w").end({ outcome: WorkerOutcome.SUCCEEDED });
      const first = view(edge, url, { workerIds: ["w"] });
      await first.end();
      const again = view(edge, url, resumeFrom(first.cursor, { workerIds: ["w"] }));
      expect((await again.end()).code).toBe("ok");
      expect(again.terminal).toEqual(first.terminal);
    });

    it.each(sseEdges)("gets 204 over $name, which stops an EventSource", async (edge) => {
      const { runtime, url } = await serveOver(logs);
      await runtime.worker("w").end({ outcome: WorkerOutcome.SUCCEEDED });
      const first = view(edge, url, { workerIds: ["w"] });
      await first.end();
      expect(await reconnect(edge, url, first.cursor, { workerIds: ["w"] }).end()).toMatchObject({ status: 204 });
      expect(await view(edge, url, resumeFrom(first.cursor, { workerIds: ["w"] })).end()).toMatchObject({
        status: 204,
      });
    });
  });

  it("takes a cursor of any edge on any other", async () => {
    const { runtime, url } = await serveOver(logs);
    const published: string[] = [];
    const publish = async (id: string): Promise<void> => {
      await publishIds(runtime, "w", [id]);
      published.push(id);
    };
    await publish("0");
    for (const one of edges) {
      const first = await view(one, url).live();
      first.leave();
      expect(first.ids).toEqual(published);
      await publish(`while nobody of ${one.name} watched`);
      for (const other of edges) {
        const second = await view(other, url, resumeFrom(first.cursor)).live();
        second.leave();
        expect(second.ids).toEqual(published.slice(-1));
        expect(runtime.cursors.decode(second.cursor).position.sequence).toBe(Number(second.events[0]?.sequence));
      }
    }
  });
}
