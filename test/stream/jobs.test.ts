import { expect, test } from "vitest";
import { limits } from "../../src/base/limits.ts";
import { origin } from "../../src/events/cursor.ts";
import { streamEnded } from "../../src/events/diagnostics.ts";
import type { EventLog, ReadRequest } from "../../src/log/contract.ts";
import { TailWorld } from "./world.ts";

const scope = { kind: "job", jobId: "j" } as const;
/** So that a channel keeps one frame. */
const largeFrames = limits.tailFrameBytes;

function forget(world: TailWorld, ...jobIds: string[]) {
  return world.log.append({ events: [], forgetJobs: jobIds });
}

test("a job's watch is offered its events, whatever their worker, and counts them", async () => {
  const world = new TailWorld();
  await world.publish("a", 2, undefined, "j");
  const { sink } = await world.open({ scope, heartbeatMs: 2_000 });
  await world.rest();
  const bookmarked = () => {
    world.clock.advance(2_500);
    const bookmark = sink.controls.at(-1);
    if (bookmark?.case !== "bookmark") throw new Error("There is no bookmark.");
    return world.cursors.decode(bookmark.value.cursor).position;
  };
  expect(bookmarked()).toMatchObject({ sequence: 2, jobOrdinal: 2, workerHash: 0, workerOrdinal: 0 });
  await world.publish("b", 1, undefined, "j");
  await world.publish("a", 3, undefined, "other");
  await world.publish("a");
  await world.rest();
  expect(sink.sequences).toEqual([1, 2, 3]);
  expect(bookmarked()).toMatchObject({ sequence: 7, jobOrdinal: 3, workerHash: 0, workerOrdinal: 0 });
});

test("a stalled watch of a job whose position leaves retention hears its exact loss", async () => {
  const world = new TailWorld({ retention: { workerEvents: 20 } });
  await world.publish("a", 1, undefined, "j");
  const { sink } = await world.open({ scope }, 3, largeFrames);
  for (let i = 0; i < 10; i++) {
    await world.publish("a", 10, undefined, "j");
    await world.publish("a", 1);
    await world.rest();
  }
  const seen = sink.sequences.length;
  sink.grant(100);
  await world.rest();
  const reason = sink.terminal?.reason;
  if (reason?.case !== "cursorExpired") throw new Error(`It ended with ${reason?.case}.`);
  const { position } = world.cursors.decode(reason.value.earliestCursor);
  expect(position.jobOrdinal).toBeGreaterThanOrEqual(80);
  expect(reason.value).toMatchObject({ lostEvents: BigInt(position.jobOrdinal - seen), lostExact: true });
});

test.each([
  ["fails", { continueWithGap: false, waitIfMissing: false }],
  ["allows gaps", { continueWithGap: true, waitIfMissing: false }],
  ["waited for its job", { continueWithGap: true, waitIfMissing: true }],
])("a watch that %s and is too slow for its job to be remembered ends with job_not_found", async (_, policy) => {
  let endSequence: number | undefined;
  const world = new TailWorld({
    endOf: ({ kind }) =>
      endSequence === undefined || kind !== "job"
        ? undefined
        : { sequence: endSequence, diagnostic: (cursor) => streamEnded({}, "The end.", cursor) },
  });
  if (!policy.waitIfMissing) await world.publish("a", 1, undefined, "j");
  const { sink } = await world.open({ scope, ...policy }, 3, largeFrames);
  await world.rest();
  for (let i = 0; i < 5; i++) {
    await world.publish("a", 10, undefined, "j");
    await world.rest();
  }
  const seen = [...sink.sequences];
  expect(seen.length).toBeLessThan(50);
  await world.publish("a", 1, { case: "jobStateChanged", value: {} }, "j");
  endSequence = world.log.bounds({ kind: "runtime" }).head.sequence;
  await world.rest();
  await forget(world, "j");
  endSequence = undefined;
  sink.grant(100);
  await world.rest();
  expect(sink.terminal?.reason).toMatchObject({ case: "jobNotFound", value: { jobId: "j" } });
  expect(world.cursors.decode(sink.terminal?.cursor ?? "").closing).toBe(true);
  expect(sink.sequences.slice(0, seen.length)).toEqual(seen);
  expect(world.tail.size).toBe(0);
});

test("a watch that waits for a job goes on while others are forgotten", async () => {
  const world = new TailWorld();
  const { sink } = await world.open({ scope, waitIfMissing: true });
  await world.publish("a", 3, undefined, "other");
  await forget(world, "other");
  await world.rest();
  await world.publish("a", 2, undefined, "j");
  await world.rest();
  expect(sink.sequences).toEqual([4, 5]);
  expect(sink.notices).toEqual(["opened", "caughtUp"]);
});

test("there is no watch of a job that was forgotten", async () => {
  const world = new TailWorld();
  await world.publish("a", 3, undefined, "j");
  await forget(world, "j");
  await expect(world.open({ scope })).rejects.toMatchObject({ reason: "job_not_found", details: { jobId: "j" } });
});

test("a cursor that does not count in the job gives a bound only", async () => {
  const world = new TailWorld({ retention: { workerEvents: 20 } });
  await world.publish("a", 5, undefined, "other");
  const position = world.log.bounds({ kind: "job", jobId: "other" }).head;
  const cursor = world.cursors.encode(position);
  const start = { kind: "cursor", cursor, position, epoch: 0, closing: false, otherGeneration: false } as const;
  await world.publish("a", 100, undefined, "j");
  const gone = world.log.bounds(scope).floor.jobOrdinal;
  expect(gone).toBeGreaterThan(position.jobOrdinal);
  const refused = { reason: "cursor_expired", details: { lostEvents: gone, lostExact: false } };
  await expect(world.open({ scope, start })).rejects.toMatchObject(refused);
  const begun = { ...start, position: origin, cursor: world.cursors.encode(origin) };
  const exact = { reason: "cursor_expired", details: { lostEvents: gone, lostExact: true } };
  await expect(world.open({ scope, start: begun })).rejects.toMatchObject(exact);
});

test("a watch that reads while its job is trimmed and forgotten ends with job_not_found, not with a loss", async () => {
  const gate = Promise.withResolvers<void>();
  const wrap = (log: EventLog): EventLog =>
    new Proxy(log, {
      get: (target, name) => {
        if (name === "read") return (request: ReadRequest) => gate.promise.then(() => target.read(request));
        const value = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  const world = new TailWorld({ retention: { workerEvents: 20 }, wrap });
  await world.publish("a", 10, undefined, "j");
  const { sink } = await world.open({ scope });
  await world.rest();
  await world.publish("a", 50, undefined, "j");
  await forget(world, "j");
  gate.resolve();
  await world.rest();
  expect(sink.terminal?.reason).toMatchObject({ case: "jobNotFound" });
  expect(sink.sequences).toEqual([]);
});

test("a cursor from elsewhere learns the counts of the job where they are known", async () => {
  const world = new TailWorld({ retention: { workerEvents: 20 } });
  await world.publish("a", 50, undefined, "j");
  await world.publish("a", 3);
  const { floor, head } = world.log.bounds(scope);
  for (const { sequence, ordinal, jobOrdinal } of [floor, head]) {
    const position = { ...origin, sequence, ordinal };
    const cursor = world.cursors.encode(position);
    const start = { kind: "cursor", cursor, position, epoch: 0, closing: false, otherGeneration: false } as const;
    const { sink } = await world.open({ scope, start });
    const opened = sink.controls[0];
    if (opened?.case !== "opened") throw new Error("The first frame is not `opened`.");
    expect(world.cursors.decode(opened.value.cursor).position).toMatchObject({ sequence, jobOrdinal });
    expect(jobOrdinal).toBeGreaterThan(20);
  }
});
