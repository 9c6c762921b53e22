import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EventKind, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { EventStreamService, IfMissing, OnExpired, StartAt } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { PublisherService } from "../../../gen/tailrace/v1/publisher_service_pb.ts";
import { decodeCursor } from "../../../src/events/cursor.ts";
import { pendingEvent } from "../../../src/events/stored.ts";
import { edges, rpcEdges } from "../edges/index.ts";
import { Stage } from "../stage.ts";
import { resumeFrom, type Viewer, view } from "../viewer.ts";
import { idsOf, type LogUnderTest, publishIds, serveOver } from "../world.ts";

/** The scope of a job: what a watch of it gives, and how it is left and come back to. */
export function jobSuite(logs: LogUnderTest): void {
  describe.each(edges)("a job over $name", (edge) => {
    it("gives what it said before and what it says, and nothing of others", async () => {
      const { runtime, url } = await serveOver(logs);
      const stage = new Stage(runtime);
      const job = await stage.submit({ workerId: "w" });
      const other = await stage.submit({ workerId: "w" });
      await job.say(["1", "2"]);
      await other.say(["no"]);
      await publishIds(runtime, "w", ["no"]);
      const viewer = view(edge, url, { jobId: job.id });
      const opened = await viewer.find("opened");
      const { floor, head } = runtime.log.bounds({ kind: "job", jobId: job.id });
      expect(opened).toMatchObject({
        earliestCursor: runtime.cursors.encode(floor),
        latestCursor: runtime.cursors.encode(head),
      });
      await viewer.live();
      await other.say(["no"]);
      await job.say(["3"]);
      await publishIds(runtime, "w", ["no"]);
      await job.say(["4"]);
      while (viewer.ids.length < 4) await viewer.find("events");
      expect(viewer.ids).toEqual(["1", "2", "3", "4"]);
      expect(new Set(viewer.events.map(({ jobId }) => jobId))).toEqual(new Set([job.id]));
      // Its first event is its own as well: it exists from there.
      expect(decodeCursor(viewer.events[0]?.cursor as string).position.jobOrdinal).toBe(1);
    });

    it("shows ten viewers everything once, whether they come before it says something, meanwhile or after its end", async () => {
      const { runtime, url } = await serveOver(logs);
      const job = await new Stage(runtime).submit();
      const ids = idsOf("e", 30);
      const viewers: Promise<Viewer>[] = [];
      const come = (count: number): void => {
        for (let i = 0; i < count; i++) {
          const viewer = view(edge, url, { jobId: job.id });
          viewers.push(viewer.end().then(() => viewer));
        }
      };
      come(3);
      for (const id of ids) {
        await job.say([id]);
        if (id === "e10" || id === "e20") come(2);
      }
      await job.succeed();
      await viewers[0];
      come(3);
      const seen = await Promise.all(viewers);
      expect(seen).toHaveLength(10);
      for (const viewer of seen) {
        expect(viewer.ids).toEqual(ids);
        expect(viewer.events).toEqual(seen[0]?.events);
        expect(viewer.terminal?.reason.case).toBe("streamEnded");
      }
    });

    it("gives exactly what was said while the viewer was away, whatever scope its cursor is from", async () => {
      const { runtime, url } = await serveOver(logs);
      const job = await new Stage(runtime).submit({ workerId: "w" });
      const request = { jobId: job.id };
      const seen: string[] = [];
      const said: string[] = [];
      const say = async (ids: readonly string[]): Promise<void> => {
        for (const id of ids) {
          await publishIds(runtime, "w", ["no"]);
          await job.say([id]);
          said.push(id);
        }
      };
      let cursor = job.cursor;
      for (let visit = 1; visit <= 4; visit++) {
        const viewer = await view(edge, url, resumeFrom(cursor, request)).live();
        await say(idsOf(`here-${visit}-`, 3));
        while (seen.length + viewer.ids.length < said.length) await viewer.find("events");
        viewer.leave();
        seen.push(...viewer.ids);
        cursor = viewer.cursor;
        await say(idsOf(`away-${visit}-`, 3));
      }
      for (const scope of [{}, { workerIds: ["w"] }]) {
        const elsewhere = await view(edge, url, resumeFrom(cursor, scope)).live();
        const index = elsewhere.events.findLastIndex(({ correlationId }) => correlationId === "away-4-1");
        // Also a position between two events of the job, which is after one of its worker.
        for (const event of elsewhere.events.slice(index, index + 2)) {
          const viewer = await view(edge, url, resumeFrom(event.cursor, request)).live();
          expect(viewer.ids).toEqual(["away-4-2", "away-4-3"]);
          viewer.leave();
        }
      }
      const last = await view(edge, url, resumeFrom(cursor, request)).live();
      expect([...seen, ...last.ids]).toEqual(said);
    });

    it("goes on after any single event, and a cursor of it resumes the other scopes", async () => {
      const { runtime, url } = await serveOver(logs);
      const job = await new Stage(runtime).submit({ workerId: "w" });
      const ids = idsOf("e", 6);
      await job.say(ids);
      const all = await view(edge, url, { jobId: job.id }).live();
      expect(all.ids).toEqual(ids);
      for (const event of all.events.filter(({ correlationId }) => correlationId !== "")) {
        for (const scope of [{ jobId: job.id }, { workerIds: ["w"] }, {}]) {
          const rest = await view(edge, url, resumeFrom(event.cursor, scope)).live();
          expect(rest.ids).toEqual(ids.slice(ids.indexOf(event.correlationId) + 1));
          rest.leave();
        }
      }
    });

    it("begins where that is asked for", async () => {
      const { runtime, url } = await serveOver(logs);
      const job = await new Stage(runtime).submit();
      await job.say(["1", "2", "3"]);
      await publishIds(runtime, "w", ["no", "no"]);
      const request = { jobId: job.id, kinds: [EventKind.CUSTOM] };
      const last = await view(edge, url, { ...request, start: { case: "last", value: 2 } }).live();
      expect(last.ids).toEqual(["2", "3"]);
      const latest = await view(edge, url, { ...request, start: { case: "startAt", value: StartAt.LATEST } }).live();
      await job.say(["4"]);
      await latest.until(1);
      expect(latest.ids).toEqual(["4"]);
    });

    it("gives the kinds that are asked for, and no others", async () => {
      const { runtime, url } = await serveOver(logs);
      const job = await new Stage(runtime).submit();
      await job.say(["1"]);
      const viewer = await view(edge, url, { jobId: job.id, kinds: [EventKind.CUSTOM] }).live();
      await (await job.part).job.narrate("act", "not asked for");
      await job.say(["2"]);
      await viewer.until(2);
      expect(viewer.ids).toEqual(["1", "2"]);
      expect(viewer.events).toHaveLength(2);
    });

    it("is waited for where that is asked for", async () => {
      const { url, log, runtime } = await serveOver(logs);
      const event = (jobId: string, correlationId: string) =>
        pendingEvent(create(NewEventSchema, { jobId, correlationId, payload: { case: "alert", value: {} } }));
      const viewer = await view(edge, url, { jobId: "late", ifMissing: IfMissing.WAIT }).live();
      await publishIds(runtime, "w", ["no"]);
      await log.append({ events: [event("other", "no"), event("late", "1")] });
      await log.append({ events: [event("late", "2")] });
      while (viewer.ids.length < 2) await viewer.find("events");
      expect(viewer.ids).toEqual(["1", "2"]);
    });

    it("tells a late viewer the exact loss, or goes on after it where that is allowed", async () => {
      const { runtime, url } = await serveOver(logs, { retention: { workerEvents: 10 } });
      const job = await new Stage(runtime).submit();
      const { cursor } = await job.say(["first"]);
      for (const id of idsOf("e", 40)) {
        await publishIds(runtime, "w", ["no"]);
        await job.say([id]);
      }
      const request = { jobId: job.id };
      const late = view(edge, url, resumeFrom(cursor, request));
      const { detail } = await late.end();
      const retained = await view(edge, url, request).live();
      const first = decodeCursor(retained.events[0]?.cursor as string).position.jobOrdinal;
      const lost = first - decodeCursor(cursor).position.jobOrdinal - 1;
      expect(lost).toBeGreaterThanOrEqual(30);
      const exact = { lostEvents: BigInt(lost), lostExact: true };
      expect(detail?.reason).toMatchObject({ case: "cursorExpired", value: { requestedCursor: cursor, ...exact } });

      const on = view(edge, url, resumeFrom(cursor, { ...request, onExpired: OnExpired.CONTINUE_WITH_GAP }));
      const { reason } = await on.diagnostic("gap");
      expect(reason.value).toMatchObject({ fromCursor: cursor, ...exact });
      await on.live();
      expect(on.ids).toEqual(retained.ids);

      // A cursor of the runtime does not say how much of it the job had said.
      const runtimeCursor = runtime.cursors.encode({ ...decodeCursor(cursor).position, jobHash: 0, jobOrdinal: 0 });
      const stranger = view(edge, url, resumeFrom(runtimeCursor, request));
      const { detail: bound } = await stranger.end();
      expect(bound?.reason).toMatchObject({ case: "cursorExpired", value: { lostExact: false } });
      const atMost = bound?.reason.case === "cursorExpired" ? bound.reason.value.lostEvents : 0n;
      expect(atMost).toBeGreaterThanOrEqual(BigInt(lost));
    });
  });

  describe.each(rpcEdges)("events of a job from outside over $name", (edge) => {
    it("are its own while it runs, and refused with their batch after its end", async () => {
      const { runtime, url } = await serveOver(logs);
      const job = await new Stage(runtime).submit();
      const client = edge.client(url);
      const publish = (ids: readonly string[]) =>
        client.unary(PublisherService.method.publishEvents, {
          events: ids.map((correlationId, i) => ({
            workerId: `w${i}`,
            // One in between is of no job.
            jobId: correlationId === "no" ? "" : job.id,
            correlationId,
            payload: { case: "output", value: { data: Uint8Array.of(i) } } as const,
          })),
        });
      const viewer = await view(edge, url, { jobId: job.id }).live();
      await publish(["1", "no", "2"]);
      await job.say(["3"]);
      await publish(["4"]);
      while (viewer.ids.length < 4) await viewer.find("events");
      await job.succeed();
      await viewer.end();
      expect(viewer.ids).toEqual(["1", "2", "3", "4"]);
      await expect(publish(["no", "late"])).rejects.toMatchObject({ detail: { reason: { case: "jobEnded" } } });
      const all = await view(edge, url).live();
      expect(all.ids).toEqual(["1", "no", "2", "3", "4"]);
      expect(all.events.filter(({ jobId }) => jobId === job.id)).toEqual(viewer.events);
      client.close();
    });
  });

  describe.each(rpcEdges)("pages of a job over $name", (edge) => {
    it("give the same events under the same cursors as its watch", async () => {
      const { runtime, url } = await serveOver(logs);
      const stage = new Stage(runtime);
      const job = await stage.submit();
      const other = await stage.submit();
      for (const id of idsOf("e", 5)) {
        await other.say(["no"]);
        await job.say([id]);
      }
      const watched = await view(edge, url, { jobId: job.id }).live();
      const client = edge.client(url);
      const { listEvents } = EventStreamService.method;
      const events: typeof watched.events = [];
      let cursor = job.cursor;
      for (let complete = false; !complete; ) {
        const start = { case: "cursor", value: cursor } as const;
        const page = await client.unary(listEvents, { jobId: job.id, pageSize: 2, start });
        expect(page.events.length).toBeLessThanOrEqual(2);
        events.push(...page.events);
        ({ cursor, complete } = page);
      }
      expect(events).toEqual(watched.events);
      // Where the pages end, the watch goes on.
      await job.say(["next"]);
      const rest = await view(edge, url, resumeFrom(cursor, { jobId: job.id })).live();
      expect(rest.ids).toEqual(["next"]);
      client.close();
    });
  });
}
