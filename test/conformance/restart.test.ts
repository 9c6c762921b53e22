import { create, toJson } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { type Event, EventSchema, type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { JobState } from "../../gen/tailrace/v1/payloads_pb.ts";
import { kindByCase } from "../../src/events/kinds.ts";
import { pendingEvent } from "../../src/events/stored.ts";
import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { filled } from "../support/filled.ts";
import { scratchDirectory } from "../support/scratch.ts";
import type { Edge } from "./edges/edge.ts";
import { edges } from "./edges/index.ts";
import { strangerKind } from "./edges/strict.ts";
import { Stage } from "./stage.ts";
import { resumeFrom, type Viewer, view } from "./viewer.ts";
import { type LogUnderTest, publishIds, serveOver } from "./world.ts";

/** A log in one directory, opened once more by each runtime. */
function inOneDirectory(): LogUnderTest {
  const directory = scratchDirectory();
  return { name: "embedded", open: (options) => openEmbeddedLog({ directory, durability: "fsync", ...options }) };
}

function asJson(events: readonly Event[]): object[] {
  return events.map((event) => ({
    ...(toJson(EventSchema, event) as object),
    unknown: (event.$unknown ?? []).map(({ no, data }) => [no, Buffer.from(data).toString("hex")]),
  }));
}

it("a restart keeps every event as it was, also of kinds that nobody knows, and every cursor", async () => {
  const logs = inOneDirectory();
  const before = await serveOver(logs);
  for (const kind of kindByCase.values()) {
    const event = filled(NewEventSchema, kind) as NewEvent;
    const ids = { workerId: `worker of kind ${kind}`, jobId: `job of kind ${kind}` };
    // Past the runtime, which lets nobody else say how a job is.
    await before.log.append({ events: [pendingEvent({ ...event, ...ids })] });
  }
  const stranger = create(NewEventSchema, { workerId: "w", correlationId: "of another kind" });
  stranger.$unknown = [{ no: strangerKind, wireType: 2, data: Uint8Array.of(2, 7, 8) }];
  await before.runtime.publish([stranger]);
  const seen = new Map<string, Event[]>();
  for (const edge of edges) seen.set(edge.name, (await view(edge, before.url).live()).events);
  await before.server.close({ graceMs: 50 });
  await before.runtime.close();

  const after = await serveOver(logs);
  await publishIds(after.runtime, "w", ["after"]);
  for (const edge of edges) {
    const first = seen.get(edge.name) as Event[];
    const all = await view(edge, after.url).live();
    expect(asJson(all.events).slice(0, first.length)).toEqual(asJson(first));
    for (const at of [0, Math.floor(first.length / 2), first.length - 1]) {
      const rest = await view(edge, after.url, resumeFrom((first[at] as Event).cursor)).live();
      expect(asJson(rest.events)).toEqual(asJson(all.events).slice(at + 1));
      rest.leave();
    }
    expect(all.events.slice(first.length).map(({ payload }) => payload.case)).toEqual([
      "runtimeStopped",
      "runtimeStarted",
      "custom",
    ]);
  }
});

/** How the watch of a job ended, read to its end. */
async function endOf(viewer: Viewer) {
  await viewer.end();
  const { reason } = viewer.terminal ?? {};
  if (reason?.case !== "streamEnded") throw new Error(`it ended with ${reason?.case}`);
  return reason.value.end;
}

it("a restart keeps how a job ended, and ends the jobs that ran for its readers", async () => {
  const logs = inOneDirectory();
  const before = await serveOver(logs, { expectFaults: true });
  const stage = new Stage(before.runtime);
  const done = await stage.submit();
  const { cursor } = await done.say(["1", "2"]);
  await done.succeed();
  const first = view(edges[0] as Edge, before.url, { jobId: done.id });
  const ended = await endOf(first);
  const running = await stage.submit();
  const { cursor: left } = await running.say(["before"]);
  await before.server.close({ graceMs: 50 });
  // As a process that dies: its runtime says nothing more.
  await before.log.close();
  const after = await serveOver(logs);

  for (const edge of edges) {
    const all = view(edge, after.url, { jobId: done.id });
    expect(await endOf(all)).toEqual(ended);
    expect(asJson(all.events)).toEqual(asJson(first.events));
    const rest = view(edge, after.url, resumeFrom(cursor, { jobId: done.id }));
    expect(await endOf(rest)).toEqual(ended);
    expect(asJson(rest.events)).toEqual(asJson(first.events.slice(-2)));
    const atTheEnd = view(edge, after.url, resumeFrom(first.events.at(-1)?.cursor as string, { jobId: done.id }));
    expect(await endOf(atTheEnd)).toEqual(ended);
    expect(atTheEnd.events).toEqual([]);

    const cut = view(edge, after.url, resumeFrom(left, { jobId: running.id }));
    expect(await endOf(cut)).toMatchObject({
      case: "job",
      value: { state: JobState.FAILED, reason: "runtime_restarted" },
    });
    expect(cut.events.at(-1)?.payload.case).toBe("jobStateChanged");
  }
});
