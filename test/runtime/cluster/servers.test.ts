import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { ListEventsRequestSchema } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { GetWorkerRequestSchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import { TailraceError } from "../../../src/base/errors.ts";
import { limits } from "../../../src/base/limits.ts";
import { isConflict } from "../../../src/log/contract.ts";
import { appendDecided } from "../../../src/runtime/decided.ts";
import { serverPrefix } from "../../../src/runtime/jobs/presence.ts";
import { setLimit } from "../../conformance/set-limit.ts";
import { batch, customEvents } from "../support.ts";
import { conversation, take } from "../transcripts/support.ts";
import { serversOf } from "./servers.ts";

test("a server says that it is there although as much waits as may, and before what waits", async () => {
  const { servers, stream, clock, open } = await serversOf(1);
  const [busy] = servers;
  const [key = ""] = Array.from(busy.log.stateEntries(serverPrefix), ([own]) => own);
  const other = open();
  await stream.until();
  const beatOfBusy = () => other.log.state(key);
  const before = beatOfBusy();
  expect(before).toBeDefined();
  let committed = 0;
  const body = new Uint8Array(500_000);
  const many = Math.ceil(limits.maxPendingAppendBytes / body.length);
  const events = [{ workerId: "a", jobId: "", kind: 40, body }];
  const results = Promise.allSettled(
    Array.from({ length: many }, () => busy.log.append({ events }).finally(() => committed++)),
  );
  await expect(busy.log.append({ events })).rejects.toMatchObject({ reason: "limit_exceeded" });
  await new Promise((resolve) => setImmediate(resolve));
  expect(committed).toBeLessThan(10);
  const sent = busy.log.outgoing.length;
  expect(sent).toBeGreaterThan(0);
  clock.advance(limits.serverPresenceMs);
  for (let steps = 0; beatOfBusy() === before && steps < 100_000; steps++) {
    stream.step();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(beatOfBusy()).not.toEqual(before);
  // Those that were sent before it, and not all the others.
  expect(committed).toBeLessThan(many - 20);
  await stream.until(results);
});

test("batches that wait until a server has heard of their job are bounded", async () => {
  const { servers, done } = await serversOf(1);
  const [one] = servers;
  setLimit("maxPendingAppendBytes", 250_000);
  const data = new Uint8Array(100_000);
  const events = [{ jobId: "unknown", payload: { case: "custom" as const, value: { type: "test", data } } }];
  const answers = Array.from({ length: 5 }, () => one.runtime.publishEvents(batch({ events })));
  const results = await done(Promise.allSettled(answers));
  const reasons = results.map((result) => (result.status === "rejected" ? result.reason.reason : "there"));
  expect(reasons.toSorted()).toEqual([...Array(2).fill("job_not_found"), ...Array(3).fill("limit_exceeded")]);
});

describe("a page up to a cursor of another server", () => {
  const upTo = (untilCursor: string) => create(ListEventsRequestSchema, { workerIds: ["a"], untilCursor });

  async function oneBehind() {
    const { servers, stream, done } = await serversOf(2);
    const [one, two] = servers;
    await done(one.runtime.publish(customEvents("a", 2)));
    two.log.pause();
    const { cursor } = await done(one.runtime.publish(customEvents("a", 3)));
    return { stream, one, two, cursor };
  }

  test("has all of it, although this server had not heard of some", async () => {
    const { stream, one, two, cursor } = await oneBehind();
    let isAnswered = false;
    const listed = two.runtime.listEvents(upTo(cursor)).finally(() => {
      isAnswered = true;
    });
    await stream.until();
    expect(isAnswered).toBe(false);
    two.log.resume();
    await stream.until(listed);
    expect(await listed).toEqual(await one.runtime.listEvents(upTo(cursor)));
    expect(await listed).toMatchObject({ cursor, complete: true });
    expect((await listed).events.at(-1)?.cursor).toBe(cursor);
  });

  test("is refused by one that stays behind, and where nobody has given the cursor out", async () => {
    const { stream, one, two, cursor } = await oneBehind();
    const late = new TailraceError("log_unavailable", { sinceMs: 0, retryAfterMs: 1 }, "behind");
    two.log.reach = () => Promise.reject(late);
    await expect(two.runtime.listEvents(upTo(cursor))).rejects.toBe(late);
    const { head } = one.log.bounds({ kind: "runtime" });
    const beyond = one.runtime.cursors.encode({ ...head, sequence: head.sequence + 1, ordinal: head.ordinal + 1 });
    await expect(one.runtime.listEvents(upTo(beyond))).rejects.toMatchObject({ reason: "cursor_unknown" });
    await stream.until();
  });
});

test("output is not decided again because another server says what its worker does", async () => {
  const { servers, done } = await serversOf(2);
  const [one, other] = servers;
  await done(one.runtime.worker("a").stdout("here"));
  let appends = 0;
  const append = other.log.append.bind(other.log);
  other.log.append = (given) => {
    if (given.events.length > 0) appends++;
    return append(given);
  };
  const states = Array.from({ length: 20 }, (_, i) =>
    one.runtime.worker("a").status(i % 2 === 0 ? WorkerState.IDLE : WorkerState.STOPPED),
  );
  const output = Array.from({ length: 20 }, (_, i) => other.runtime.worker("a").custom("test", `${i}`));
  await done(Promise.all([...states, ...output]));
  expect(appends).toBe(20);
});

test("too many conflicts in a row are an unavailable log, not a conflict", async () => {
  const { servers } = await serversOf(1);
  const [{ log }] = servers;
  let decided = 0;
  log.append = async () => {
    throw new TailraceError("log_unavailable", { sinceMs: 7, retryAfterMs: 1, conflict: true }, "Another was first.");
  };
  const failed = await appendDecided(log, () => {
    decided++;
    return { events: [] };
  }).catch((error: unknown) => error);
  expect(failed).toMatchObject({ reason: "log_unavailable", details: { sinceMs: 7, retryAfterMs: 1 } });
  expect(isConflict(failed)).toBe(false);
  expect(decided).toBe(limits.conflictTries);
});

test("the keeper forgets a worker, and every server does; its id is another worker's from then on", async () => {
  const { servers, clock, done, stream } = await serversOf(2, { retention: { workerEvents: 1, workerAgeMs: 1_000 } });
  await done(servers[1].runtime.publish(take(conversation("a"), 3)));
  await done(servers[1].runtime.worker("a").end({ outcome: 1 }));
  clock.advance(limits.workerMemoryMs);
  // What is said next makes the time of the log go on.
  await done(servers[0].runtime.publish(customEvents("b", 2)));
  await done(servers[0].runtime.publish(customEvents("b", 2)));
  for (const { log } of servers) expect(log.worker("a")).toMatchObject({ retainedEvents: 0 });
  await expect(done(servers[0].runtime.worker("a").stdout("late"))).rejects.toThrow(/has ended/);
  clock.advance(2 * 60 * 60 * 1000);
  await stream.until();
  const get = create(GetWorkerRequestSchema, { workerId: "a" });
  for (const { runtime, log } of servers) {
    expect(() => runtime.getWorker(get)).toThrow(expect.objectContaining({ reason: "worker_not_found" }));
    expect([...log.stateEntries("worker/a"), ...log.stateEntries("transcript/a")]).toEqual([]);
    expect(runtime.transcripts.count).toBe(0);
  }
  await done(servers[1].runtime.worker("a").stdout("again"));
  for (const { runtime } of servers) {
    expect(runtime.getWorker(get).worker).toMatchObject({ workerId: "a", lastWorkerSequence: 2n });
    expect(runtime.getWorker(get).worker?.ended).toBeUndefined();
  }
});

test("a keeper whose clock is ahead forgets a worker no sooner, and tells the time of events", async () => {
  const { servers, clock, done, stream, open } = await serversOf(1, { retention: { workerAgeMs: 1_000 } });
  const [one] = servers;
  const ahead = new ManualClock(clock.now() + 2 * limits.workerMemoryMs);
  const keeper = open(ahead);
  keeper.log.takeOver();
  await stream.until();
  await done(one.runtime.worker("a").end({ outcome: 1 }));
  const passes = async (ms: number) => {
    clock.advance(ms);
    // What is said makes the time of the log go on.
    await done(one.runtime.publish(customEvents("b", 1)));
    await done(one.runtime.publish(customEvents("b", 1)));
    ahead.advance(2 * 60 * 60 * 1000);
    await stream.until();
    expect(keeper.runtime.timeMs).toBe(clock.now());
  };
  await passes(limits.workerMemoryMs / 2);
  expect(one.log.worker("a")).toMatchObject({ retainedEvents: 0 });
  await passes(limits.workerMemoryMs / 2 + 1);
  expect(one.log.worker("a")).toBeUndefined();
});
