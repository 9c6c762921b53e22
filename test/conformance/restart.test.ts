import { create, toJson } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { type Event, EventSchema, type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { kindByCase } from "../../src/events/kinds.ts";
import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { filled } from "../support/filled.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { edges } from "./edges/index.ts";
import { strangerKind } from "./edges/strict.ts";
import { resumeFrom, view } from "./viewer.ts";
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
    await before.runtime.publish([{ ...event, workerId: `worker of kind ${kind}`, jobId: "" }]);
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
