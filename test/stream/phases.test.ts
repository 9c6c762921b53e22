import { expect, test } from "vitest";
import { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import { TailraceError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { origin } from "../../src/events/cursor.ts";
import { streamEnded } from "../../src/events/diagnostics.ts";
import type { EventLog, ReadRequest } from "../../src/log/contract.ts";
import { TailWorld } from "./world.ts";

test("a silent watch gets a bookmark per heartbeat, which moves its cursor", async () => {
  const world = new TailWorld();
  await world.publish("a");
  const { sink } = await world.open({ scope: { kind: "workers", workerIds: ["a"] }, heartbeatMs: 2_000 });
  await world.rest();
  expect(sink.notices).toEqual(["opened", "caughtUp"]);
  await world.publish("b", 3);
  await world.rest();
  world.clock.advance(2_500);
  const bookmark = sink.controls.at(-1);
  if (bookmark?.case !== "bookmark") throw new Error("There is no bookmark.");
  const { position } = world.cursors.decode(bookmark.value.cursor);
  expect(position).toMatchObject({ sequence: 4, workerOrdinal: 1 });
  expect(bookmark.value.lagEvents).toBe(0n);
  world.clock.advance(2_000);
  expect(sink.notices.filter((name) => name === "bookmark")).toHaveLength(2);
});

test("a filtered watch gets bookmarks while it passes over much, so that a rare match never expires", async () => {
  const world = new TailWorld();
  const { sink } = await world.open({ kinds: new Set([EventKind.ALERT]), heartbeatMs: 60_000 });
  for (let second = 0; second < 5; second++) {
    await world.publish("a", limits.bookmarkEvents);
    await world.rest();
    world.clock.advance(limits.bookmarkMs + 250);
  }
  const bookmarks = sink.notices.filter((name) => name === "bookmark").length;
  expect(bookmarks).toBeGreaterThanOrEqual(4);
  expect(bookmarks).toBeLessThanOrEqual(6);
});

test("a watch that stalls falls behind, is told, and catches up on the same connection", async () => {
  const world = new TailWorld();
  const { sink } = await world.open({}, 3, limits.tailFrameBytes);
  await world.rest();
  expect(sink.notices).toEqual(["opened", "caughtUp"]);
  for (let i = 0; i < 6; i++) {
    await world.publish("a", 10);
    await world.rest();
  }
  expect(sink.sequences).toHaveLength(10);
  sink.grant(100);
  await world.rest();
  expect(sink.notices).toEqual(["opened", "caughtUp", "fellBehind", "caughtUp"]);
  expect(sink.sequences).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
});

test("a watch that waits for a worker that was forgotten is not told an exact loss: nobody counts its events", async () => {
  const world = new TailWorld({ retention: { ageMs: 60_000 } });
  await world.publish("a", 3);
  world.clock.advance(61_000);
  await world.publish("b");
  await world.log.append({ events: [], forgetWorkers: ["a"] });
  const start = {
    kind: "cursor",
    cursor: "",
    position: origin,
    epoch: 0,
    closing: false,
    otherGeneration: false,
  } as const;
  await expect(
    world.open({ scope: { kind: "workers", workerIds: ["a"] }, start, waitIfMissing: true }),
  ).rejects.toMatchObject({ reason: "cursor_expired", details: { lostEvents: 3, lostExact: false } });
});

test("a stalled watch whose position leaves retention hears its exact loss; the others notice nothing", async () => {
  const world = new TailWorld({ retention: { workerEvents: 20 } });
  const other = await world.open({}, undefined, limits.tailFrameBytes);
  const { sink } = await world.open(
    { scope: { kind: "workers", workerIds: ["a"] }, waitIfMissing: true },
    3,
    limits.tailFrameBytes,
  );
  for (let i = 0; i < 10; i++) {
    await world.publish("a", 10);
    await world.rest();
  }
  sink.grant(100);
  await world.rest();
  const reason = sink.terminal?.reason;
  if (reason?.case !== "cursorExpired") throw new Error(`It ended with ${reason?.case}.`);
  const seen = sink.sequences.length;
  const { position } = world.cursors.decode(reason.value.earliestCursor);
  expect(reason.value).toMatchObject({ lostEvents: BigInt(position.workerOrdinal - seen), lostExact: true });
  expect(position.workerOrdinal).toBeGreaterThanOrEqual(80);
  expect(world.cursors.decode(sink.terminal?.cursor ?? "").closing).toBe(true);
  expect(other.sink.sequences).toHaveLength(100);
  expect(other.sink.notices).toEqual(["opened", "caughtUp"]);
});

test("the end of a scope comes after its last event, also for a filter that does not want that event", async () => {
  let endSequence: number | undefined;
  const world = new TailWorld({
    endOf: () =>
      endSequence === undefined
        ? undefined
        : { sequence: endSequence, diagnostic: (cursor) => streamEnded({}, "The end.", cursor) },
  });
  await world.publish("a", 2);
  const scope = { kind: "workers", workerIds: ["a"] } as const;
  const all = await world.open({ scope });
  const filtered = await world.open({ scope, kinds: new Set([EventKind.ALERT]) });
  await world.rest();
  // Committed, but not yet handed out: a watch that wakes now must not end before its last event.
  const end = world.publish("a", 1, { case: "workerEnded", value: {} });
  endSequence = 3;
  all.sink.watch?.resume();
  await end;
  await world.rest();
  expect(all.sink.sequences).toEqual([1, 2, 3]);
  expect(filtered.sink.sequences).toEqual([]);
  for (const { sink } of [all, filtered]) {
    expect(sink.terminal?.reason.case).toBe("streamEnded");
    expect(world.cursors.decode(sink.terminal?.cursor ?? "")).toMatchObject({ closing: true });
  }
  expect(world.tail.size).toBe(0);
});

class FailingReads {
  failing = true;
  wrap = (log: EventLog): EventLog =>
    new Proxy(log, {
      get: (target, name) => {
        if (name === "read") {
          return (request: ReadRequest) =>
            this.failing
              ? Promise.reject(new TailraceError("log_unavailable", { sinceMs: 1, retryAfterMs: 5 }, "No disk."))
              : target.read(request);
        }
        const value = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
}

test("a log that can't be read is a notice first, and the watch goes on when it can", async () => {
  const reads = new FailingReads();
  const world = new TailWorld({ wrap: reads.wrap });
  await world.publish("a", 3);
  const { sink } = await world.open();
  await world.rest();
  world.clock.advance(limits.logRetryMs * 3);
  await world.rest();
  expect(sink.notices).toEqual(["opened", "logUnavailable"]);
  reads.failing = false;
  world.clock.advance(limits.logRetryMs);
  await world.rest();
  expect(sink.sequences).toEqual([1, 2, 3]);
  expect(sink.notices).toEqual(["opened", "logUnavailable", "caughtUp"]);
});

test("a log that can't be read for long ends the watch with an ordinary cursor", async () => {
  const world = new TailWorld({ wrap: new FailingReads().wrap });
  await world.publish("a", 3);
  const { sink } = await world.open();
  for (let ms = 0; ms <= limits.logUnavailableMs + 2 * limits.logRetryMs; ms += limits.logRetryMs) {
    await world.rest();
    world.clock.advance(limits.logRetryMs);
  }
  await world.rest();
  expect(sink.terminal?.reason.case).toBe("logUnavailable");
  expect(world.cursors.decode(sink.terminal?.cursor ?? "")).toMatchObject({
    closing: false,
    position: { sequence: 0 },
  });
  await world.memory.close();
  expect(world.clock.pending).toBe(0);
});

test("closing ends every watch with a cursor to come back with, also a blocked one", async () => {
  const world = new TailWorld();
  const live = await world.open();
  const blocked = await world.open({}, 3);
  for (let i = 0; i < 3; i++) {
    await world.publish("a");
    await world.rest();
  }
  await world.publish("a");
  world.tail.beginClosing(700);
  for (const { sink } of [live, blocked]) {
    expect(sink.terminal?.reason).toMatchObject({ case: "serverClosing" });
    const { position, closing } = world.cursors.decode(sink.terminal?.cursor ?? "");
    expect(closing).toBe(false);
    expect(position.sequence).toBe(sink.sequences.at(-1));
  }
  expect(live.sink.sequences).toEqual([1, 2, 3, 4]);
  await expect(world.open()).rejects.toMatchObject({ reason: "server_closing" });
  await world.memory.close();
  expect(world.clock.pending).toBe(0);
});

test("a reader that leaves while its sink is blocked leaves nothing behind", async () => {
  const world = new TailWorld();
  await world.publish("a");
  const { sink, reader } = await world.open({}, 1);
  reader.abort();
  expect(sink.ends).toBe(1);
  expect(world.tail.size).toBe(0);
  expect(world.tail.selections).toBe(0);
  await world.memory.close();
  expect(world.clock.pending).toBe(0);
});

test("what was committed before a watch was opened comes before the notice that it is live", async () => {
  const world = new TailWorld();
  await world.publish("a", 2);
  await world.rest();
  const other = await world.open({ scope: { kind: "workers", workerIds: ["a"] } });
  await world.rest();
  const position = world.log.bounds({ kind: "workers", workerIds: ["a"] }).head;
  const cursor = world.cursors.encode(position);
  // Committed, and not yet in the channel that the other watch keeps open.
  await world.publish("a", 3);
  const start = { kind: "cursor", cursor, position, epoch: 0, closing: false, otherGeneration: false } as const;
  const { sink } = await world.open({ scope: { kind: "workers", workerIds: ["a"] }, start });
  expect(sink.notices).toEqual(["opened"]);
  await world.rest();
  expect(sink.sequences).toEqual([3, 4, 5]);
  expect(sink.notices).toEqual(["opened", "caughtUp"]);
  expect(other.sink.sequences).toEqual([1, 2, 3, 4, 5]);
});
