import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { ListEventsRequestSchema } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { GetWorkerRequestSchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { type Clock, ManualClock } from "../../../src/base/clock.ts";
import { TailraceError } from "../../../src/base/errors.ts";
import { limits, type RetentionLimits } from "../../../src/base/limits.ts";
import { isConflict } from "../../../src/log/contract.ts";
import { appendDecided } from "../../../src/runtime/decided.ts";
import { serverPrefix } from "../../../src/runtime/jobs/presence.ts";
import { producerPrefix } from "../../../src/runtime/producers.ts";
import { Runtime, type RuntimeOptions } from "../../../src/runtime/runtime.ts";
import { setLimit } from "../../conformance/set-limit.ts";
import { SharedStream } from "../../support/shared-stream.ts";
import { batch, customEvents } from "../support.ts";
import { conversation, getTranscript, shown, stateOf, take } from "../transcripts/support.ts";

/** Servers over one stream, the first of which is the keeper. */
async function serversOf(
  count: number,
  options: { readonly retention?: Partial<RetentionLimits>; readonly transcripts?: RuntimeOptions["transcripts"] } = {},
) {
  const stream = new SharedStream({ retention: options.retention ?? {} });
  const { clock } = stream;
  const { transcripts = {} } = options;
  const open = (ownClock: Clock = clock) => {
    const log = stream.open();
    let isAlive = true;
    const onError = (error: unknown) => {
      if (isAlive) throw error;
    };
    const kill = () => {
      isAlive = false;
      stream.kill(log);
    };
    return { log, kill, runtime: new Runtime({ log, clock: ownClock, transcripts, onError }) };
  };
  const servers = Array.from({ length: count }, () => open());
  servers[0]?.log.takeOver();
  await stream.until();
  /** What is asked of servers happens while messages come and go. */
  const done = async <T>(asked: Promise<T>): Promise<T> => {
    await stream.until(asked);
    return asked;
  };
  return { stream, clock, servers: servers as [Server, Server, Server], open, done };
}

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

type Server = { readonly log: ReturnType<SharedStream["open"]>; readonly kill: () => void; readonly runtime: Runtime };

const produced = (producerId: string, first: number, count = 1) =>
  batch({ events: customEvents("a", count, first), producerId, firstProducerSequence: BigInt(first) });

const textOf = (workerId: string, n: number, length: number) => ({
  workerId,
  payload: { case: "systemItem" as const, value: { json: `"${n}${"x".repeat(length)}"` } },
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

describe("producers", () => {
  test.each(["ahead", "behind"])("are remembered for as long where the clock of a server is %s", async (where) => {
    const { servers, stream, clock, open, done } = await serversOf(1);
    const [one] = servers;
    const wrongByMs = (where === "ahead" ? 2 : -2) * limits.producerMemoryMs;
    const wrong = open(new ManualClock(clock.now() + wrongByMs));
    await stream.until();
    const publish = ({ runtime }: Pick<Server, "runtime">, id: string) => done(runtime.publishEvents(produced(id, 1)));
    await publish(one, "p");
    await publish(wrong, "q");
    for (const server of [one, wrong]) {
      for (const id of ["p", "q"]) expect(await publish(server, id)).toMatchObject({ duplicate: true });
    }
    // The log's time goes on with what is appended, also if that is a beat.
    clock.advance(limits.producerMemoryMs + 1);
    await stream.until();
    await publish(wrong, "r");
    for (const id of ["p", "q"]) expect(one.log.state(`${producerPrefix}${id}`)).toBeUndefined();
    expect(await publish(wrong, "p")).toMatchObject({ duplicate: false });
  });

  test("go on at a server that has not heard yet of what another one acknowledged", async () => {
    const { servers, stream, done } = await serversOf(2);
    const [one, other] = servers;
    const answered = one.runtime.publishEvents(produced("p", 1, 2));
    // Only the first one hears of it.
    let isAnswered = false;
    void answered.then(() => {
      isAnswered = true;
    });
    while (!isAnswered) {
      stream.step(one.log);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(other.log.bounds({ kind: "runtime" }).head.sequence).toBeLessThan(
      one.log.bounds({ kind: "runtime" }).head.sequence,
    );
    const first = await answered;
    expect(await done(other.runtime.publishEvents(produced("p", 3)))).toMatchObject({ duplicate: false });
    expect(await done(other.runtime.publishEvents(produced("p", 1, 2)))).toEqual({ ...first, duplicate: true });
    await expect(done(other.runtime.publishEvents(produced("p", 7)))).rejects.toMatchObject({
      reason: "producer_conflict",
      details: { expectedProducerSequence: 4 },
    });
    await expect(done(one.runtime.publishEvents(produced("q", 7)))).rejects.toMatchObject({
      reason: "producer_unknown",
    });
  });

  test("of all servers together are bounded, and those used longest ago are forgotten, whoever they published to", async () => {
    setLimit("maxProducers", 3);
    const { servers, done, stream } = await serversOf(2);
    const known = () => [...servers[0].log.stateEntries("producer/")].map(([key]) => key.slice("producer/".length));
    for (const [i, id] of ["a", "b", "c"].entries())
      await done((servers[i % 2] as Server).runtime.publishEvents(produced(id, 1)));
    await done(servers[1].runtime.publishEvents(produced("a", 2)));
    await done(servers[0].runtime.publishEvents(produced("d", 1)));
    expect(known().sort()).toEqual(["a", "c", "d"]);
    // Both want to forget the same one at once.
    await done(
      Promise.all([
        servers[0].runtime.publishEvents(produced("e", 1)),
        servers[1].runtime.publishEvents(produced("f", 1)),
      ]),
    );
    expect(known().sort()).toEqual(["d", "e", "f"]);
    await done(
      Promise.all(
        servers
          .slice(0, 2)
          .flatMap(({ runtime }, i) => [1, 2, 3, 4].map((n) => runtime.publishEvents(produced(`${i}${n}`, 1)))),
      ),
    );
    await done(servers[0].runtime.publishEvents(produced("last", 1)));
    expect(known()).toHaveLength(3);
    expect(known()).toContain("last");
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

describe("transcripts", () => {
  test("are kept by the keeper alone, and by the next one when it is gone, from where it stopped", async () => {
    const { servers, clock, done, stream } = await serversOf(3, { retention: { workerEvents: 4 } });
    const talk = conversation("a");
    const kept = (server: Server) => server.log.state("transcript/a");
    const held = (server: Server) => Number(server.log.worker("a")?.retainedEvents);
    await done(servers[1].runtime.publish(take(talk, 1)));
    await done(servers[2].runtime.publish(take(talk, 30)));
    expect(held(servers[1])).toBeGreaterThan(4);
    clock.advance(limits.transcriptKeepMs);
    await stream.until();
    const before = kept(servers[2]);
    expect(before).toBeDefined();
    for (const server of servers) expect(held(server)).toBe(4);
    servers[0].kill();
    await done(servers[1].runtime.publish(take(talk, 30)));
    clock.advance(10 * limits.transcriptKeepMs);
    await stream.until();
    // Nobody keeps them, and nothing is let go of.
    expect(kept(servers[2])).toEqual(before);
    expect(held(servers[2])).toBeGreaterThan(4);
    const whole = shown(stateOf(await getTranscript(servers[1].runtime, "a")));
    servers[2].log.takeOver();
    await stream.until();
    clock.advance(limits.transcriptKeepMs);
    await stream.until();
    for (const server of servers.slice(1)) {
      expect(kept(server)).not.toEqual(before);
      expect(held(server)).toBe(4);
      expect(shown(stateOf(await getTranscript(server.runtime, "a")))).toEqual(whole);
    }
  });

  test("go on from what was kept meanwhile at a server that starts slower than retention goes on", async () => {
    const { servers, clock, done, stream } = await serversOf(2, { retention: { workerEvents: 4 } });
    const talk = conversation("a");
    for (const count of [1, 20, 9]) {
      await done(servers[1].runtime.publish(take(talk, count)));
      clock.advance(limits.transcriptKeepMs);
      await stream.until();
    }
    await done(servers[1].runtime.publish(take(talk, 20)));
    const log = stream.open();
    const read = log.read.bind(log);
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    let reads = 0;
    // What it found first is of before the rest was said, and what it looks for then is gone.
    log.read = async (request) => {
      const page = await read({ ...request, maxEvents: 3 });
      if (reads++ === 1) await released;
      return page;
    };
    const runtime = new Runtime({ log, clock });
    await stream.until();
    await done(servers[1].runtime.publish(take(talk, 30)));
    clock.advance(limits.transcriptKeepMs);
    await stream.until();
    expect(log.worker("a")).toMatchObject({ retainedEvents: 4 });
    release();
    const late = await done(getTranscript(runtime, "a"));
    expect(reads).toBeGreaterThanOrEqual(2);
    expect(shown(stateOf(late))).toEqual(shown(stateOf(await getTranscript(servers[0].runtime, "a"))));
  });

  test("are let go of in memory at every server once one has kept them", async () => {
    const memoryBytes = 50_000;
    const { servers, clock, done, stream } = await serversOf(2, { transcripts: { memoryBytes } });
    const ids = Array.from({ length: 40 }, (_, i) => `w${i}`);
    for (const id of ids) await done(servers[1].runtime.publish(take(conversation(id), 13)));
    clock.advance(limits.transcriptKeepMs);
    await stream.until();
    for (const { runtime } of servers) {
      expect(runtime.transcripts.bytes).toBeLessThanOrEqual(memoryBytes);
      expect(runtime.transcripts.count).toBeLessThan(ids.length);
    }
    for (const id of ids) {
      const [one, other] = await Promise.all(servers.slice(0, 2).map(({ runtime }) => getTranscript(runtime, id)));
      expect(other).toEqual(one);
    }
  });

  test("that the keeper cuts because it keeps too much are cut at every server, and at the next one that starts", async () => {
    const { servers, clock, done, stream, open } = await serversOf(2, { transcripts: { keptBytes: 30_000 } });
    for (let worker = 0; worker < 20; worker++) {
      await done(servers[1].runtime.publish(Array.from({ length: 4 }, (_, n) => textOf(`w${worker}`, n, 1_000))));
      // Some go on while they are cut.
      if (worker % 3 === 0) void servers[0].runtime.publish([textOf(`w${worker >> 1}`, 9, 10)]);
      clock.advance(limits.transcriptKeepMs);
    }
    await stream.until();
    for (let round = 0; round < 5; round++) {
      clock.advance(limits.transcriptKeepMs);
      await stream.until();
    }
    const sizes = [...servers[1].log.stateEntries("transcript/")].map(([, bytes]) => bytes.length);
    expect(sizes.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(30_000);
    const last = open();
    await stream.until();
    let cut = 0;
    for (let worker = 0; worker < 20; worker++) {
      const answers = [servers[0], servers[1], last].map(({ runtime }) => done(getTranscript(runtime, `w${worker}`)));
      const [one, ...others] = await Promise.all(answers);
      if ((one?.droppedEntries ?? 0n) > 0n) cut++;
      // The last one has said since that it started, and the cursor says where all that is included ends.
      for (const other of others) expect(shown(stateOf(other))).toEqual(shown(stateOf(one as typeof other)));
    }
    expect(cut).toBeGreaterThan(5);
  });
});
