import { describe, expect, onTestFinished, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { CursorCodec } from "../../../src/events/cursor.ts";
import { type EventLog, isConflict } from "../../../src/log/contract.ts";
import { type JetStreamLogOptions, openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../src/log/jetstream/stream/subjects.ts";
import { natsForFile } from "../../support/nats.ts";
import { eventually, until } from "../../support/until.ts";
import { expectExactExpiry } from "../expiry.ts";
import { event, events, job, jobEvents, readAll, runtimeScope, type Seen, seenOf, texts, workers } from "../harness.ts";
import { viewOf } from "../view.ts";
import { asOperator, freshNamespace } from "./support.ts";

const nats = natsForFile();
const bytes = (text: string) => new TextEncoder().encode(text);
const scopes = [runtimeScope, workers("a"), workers("b"), workers("a", "b"), job("j"), job("k")];

/** A server that has a log open beside others until the test ends. */
async function server(namespace: string, options: Partial<JetStreamLogOptions> = {}): Promise<EventLog> {
  const log = await openJetStreamLog({ servers: [nats().url], namespace, ...options });
  onTestFinished(() => log.close());
  return log;
}

function headOf(log: EventLog): number {
  return log.bounds(runtimeScope).head.sequence;
}

/** Waits until two servers have come equally far, and gives what both say. */
async function same(one: EventLog, other: EventLog) {
  await until(() => headOf(one) === headOf(other), "both to have come equally far");
  await eventually(async () => expect(await viewOf(other, scopes)).toEqual(await viewOf(one, scopes)));
  return viewOf(one, scopes);
}

function listen(log: EventLog): Seen[] {
  const told: Seen[] = [];
  log.subscribe((block) => told.push(...seenOf(block)));
  return told;
}

describe("two servers of one log", () => {
  test("say the same of every event, whichever took it, and a third that comes later too", async () => {
    const namespace = freshNamespace();
    const retention = { workerEvents: 30, events: 70 };
    const [one, two] = [await server(namespace, { retention }), await server(namespace, { retention })];
    expect(two.identity).toEqual(one.identity);
    const told = [listen(one), listen(two)];
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        [one, two].flatMap((log, i) => [
          log.append({ events: [...events("a", 3, round), ...jobEvents("b", "j", 2, round)] }),
          log.append({ events: jobEvents("a", "k", 1 + i), forgetJobs: round % 5 === 4 ? ["k"] : [] }),
          log.append({ events: events("b", 2), state: new Map([[`${i}/${round}`, bytes("x")]]) }),
        ]),
      );
    }
    const view = await same(one, two);
    expect(told[1]).toEqual(told[0]);
    expect(told[0]?.map((seen) => seen.ordinal)).toEqual(told[0]?.map((_, i) => i + 1));
    expect(told[0]?.length).toBe(20 * (2 * 7 + 3));
    expect([...two.stateEntries("")].length).toBe(40);
    for (const scope of scopes) {
      await expectExactExpiry(two, scope);
      const { runtimeId, generation } = one.identity;
      const cursor = (log: EventLog) =>
        new CursorCodec(runtimeId, generation, log.epochs).encode(log.bounds(scope).head);
      expect(cursor(two)).toBe(cursor(one));
    }
    const three = await server(namespace, { retention });
    expect(await viewOf(three, scopes)).toEqual(view);
    await one.append({ events: events("b", 40) });
    expect(await same(one, three)).not.toEqual(view);
    await same(two, three);
  });

  test("what is read half from one and half from the other is the log, wherever the cut is, while both write", async () => {
    const namespace = freshNamespace();
    const [one, two] = [await server(namespace), await server(namespace)];
    const writing = [one, two].map(async (log, i) => {
      for (let n = 0; n < 500; n++)
        await log.append({ events: [...events("a", 2, n), ...jobEvents("b", `${i}`, 1, n)] });
    });
    await until(() => headOf(one) > 200, "something to read");
    const joined: [Seen[], number][] = [];
    for (let round = 0; round < 100; round++) {
      const head = headOf(one);
      const cut = Math.floor((head * ((round * 37) % 100)) / 100);
      const first = await readAll(round % 2 === 0 ? one : two, { until: cut });
      await two.reach(head);
      const rest = await readAll(round % 2 === 0 ? two : one, { after: first.at(-1)?.sequence ?? 0, until: head });
      joined.push([[...first, ...rest], head]);
    }
    await Promise.all(writing);
    await same(one, two);
    const all = await readAll(one);
    for (const [seen, head] of joined) expect(seen).toEqual(all.slice(0, head));
  });

  test("of two that put the same state without knowing of each other, one is refused and nothing of it is written", async () => {
    const namespace = freshNamespace();
    const [one, two] = [await server(namespace), await server(namespace)];
    const put = (log: EventLog, text: string) =>
      log.append({ events: [event("a", text)], state: new Map([["job/j", bytes(text)]]) });
    const results = await Promise.allSettled([put(one, "one"), put(two, "two")]);
    const refused = results.filter((result) => result.status === "rejected");
    expect(refused).toHaveLength(1);
    expect(refused[0]?.reason).toMatchObject({ reason: "log_unavailable" });
    expect(isConflict(refused[0]?.reason)).toBe(true);
    const winner = results[0]?.status === "fulfilled" ? "one" : "two";
    await same(one, two);
    expect(texts(await readAll(one))).toEqual([winner]);
    expect(two.state("job/j")).toEqual(bytes(winner));
    // Both know now: each may put it again, and again without waiting for itself.
    await put(two, "three");
    await until(() => headOf(one) === headOf(two), "both to have come equally far");
    await Promise.all([put(one, "four"), put(one, "five")]);
    expect(texts(await readAll(one)).slice(1)).toEqual(["three", "four", "five"]);
  });

  test("what one puts the other hears of, once it can be read and before the block", async () => {
    const namespace = freshNamespace();
    const [one, two] = [await server(namespace), await server(namespace)];
    const heard: string[] = [];
    two.subscribeState("job/", (key, value) => {
      expect(two.state(key)).toEqual(value);
      heard.push(`${key} ${value === undefined ? "-" : new TextDecoder().decode(value)}`);
    });
    two.subscribe((block) => heard.push(...texts(seenOf(block))));
    await one.append({
      events: [event("a", "1")],
      state: new Map([
        ["job/j", bytes("x")],
        ["other", bytes("y")],
      ]),
    });
    await one.append({ events: [event("a", "2")], state: new Map([["job/j", null]]) });
    await until(() => heard.length === 4, "the other to hear");
    expect(heard).toEqual(["job/j x", "1", "job/j -", "2"]);
  });

  test("the hold of a server counts once it is the keeper, as it is by then", async () => {
    const namespace = freshNamespace();
    const retention = { workerEvents: 5 };
    const [one, two] = [await server(namespace, { retention }), await server(namespace, { retention })];
    expect([one.isKeeper, two.isKeeper]).toEqual([true, false]);
    one.holdAfter(4);
    two.holdAfter(0);
    await one.append({ events: events("a", 8) });
    await one.append({ events: events("a", 1, 9) });
    expect(one.worker("a")?.retainedEvents).toBe(5);
    two.holdAfter(6);
    await one.close();
    await until(() => two.isKeeper, "the other to be the keeper");
    await two.append({ events: events("a", 10, 10) });
    expect(texts(await readAll(two))).toEqual(Array.from({ length: 13 }, (_, i) => `a:${7 + i}`));
    two.holdAfter(Number.POSITIVE_INFINITY);
    await two.append({ events: events("a", 1, 20) });
    expect(two.worker("a")?.retainedEvents).toBe(5);
  });

  test("of appends that follow each other on a key none is committed after one that NATS did not take", async () => {
    const namespace = freshNamespace();
    const one = await server(namespace);
    await asOperator(nats().url, (manager) => manager.streams.update(streamOf(namespace), { max_msg_size: 20_000 }));
    const results: string[] = [];
    const outcome = (error: unknown) => (isConflict(error) ? "conflict" : (error as { reason: string }).reason);
    const publish = (text: string, key: string) =>
      one.append({ events: [event("a", text)], state: new Map([[key, bytes(text)]]) }).then(
        () => results.push(`${text.slice(0, 5)} ok`),
        (error) => results.push(`${text.slice(0, 5)} ${outcome(error)}`),
      );
    const all: Promise<unknown>[] = [];
    // Each is a group of its own.
    for (const [text, key] of [
      ["first", "p"],
      ["large".padEnd(30_000, "."), "p"],
      ["third", "p"],
      ["other", "q"],
      ["forth", "p"],
    ] as const) {
      all.push(publish(text, key));
      await new Promise((resolve) => queueMicrotask(() => queueMicrotask(() => resolve(undefined))));
    }
    await Promise.all(all);
    expect(results.sort()).toEqual([
      "first ok",
      "forth conflict",
      expect.stringMatching(/^large (?!ok|conflict)/),
      "other ok",
      "third conflict",
    ]);
    expect(one.state("p")).toEqual(bytes("first"));
    await publish("again", "p");
    expect(texts(await readAll(one)).sort()).toEqual(["again", "first", "other"]);
  });

  test("a fence refuses who did not know that another put what its batch depends on", async () => {
    const namespace = freshNamespace();
    const [one, two] = [await server(namespace), await server(namespace)];
    await one.append({ events: [], state: new Map([["job/j", bytes("running")]]) });
    await until(() => two.state("job/j") !== undefined, "the other to know");
    const narration = () => two.append({ events: jobEvents("a", "j", 1), fence: ["job/j"] });
    await narration();
    const [ended, late] = await Promise.allSettled([
      one.append({ events: [], state: new Map([["job/j", bytes("ended")]]) }),
      narration(),
    ]);
    expect(ended.status).toBe("fulfilled");
    await same(one, two);
    // Which of the two came first is for the stream to say; the late one is refused if it was not the first.
    expect(one.job("j")?.lastOrdinal).toBe(late.status === "fulfilled" ? 2 : 1);
    await narration();
  });

  test("a position that this server has not come to is waited for, and one that nobody has given out is said so", async () => {
    const namespace = freshNamespace();
    const [one, two] = [await server(namespace), await server(namespace)];
    for (let i = 1; i <= 20; i++) {
      const { last } = await one.append({ events: events("a", 3) });
      expect(await two.reach(last.sequence)).toBe(true);
      expect(headOf(two)).toBe(last.sequence);
    }
    expect(await two.reach(headOf(two) + 1)).toBe(false);
  });

  test("when one ends in order the other looks after age, and what it removes is removed at both", async () => {
    const namespace = freshNamespace();
    const clock = new ManualClock();
    const options = { clock, retention: { workerAgeMs: 60_000 } };
    const first = await server(namespace, options);
    const second = await server(namespace, options);
    const third = await server(namespace, options);
    await first.append({ events: events("a", 3) });
    await until(() => headOf(second) === 3, "the second to have them");
    await first.close();
    await eventually(() => {
      clock.advance(61_000);
      expect(second.worker("a")?.retainedEvents).toBe(0);
    });
    await same(second, third);
    await expectExactExpiry(third, workers("a"));
  });
});

describe("what an operator removes", () => {
  test.each([
    ["everything", undefined, 5, 10],
    // The first message is the one by which the log was opened.
    ["the oldest", { seq: 4 }, 1, 2],
    ["what one worker has", { filter: `tailrace.*.e.${Buffer.from("a").toString("base64url")}.-` }, 5, 0],
  ])("%s: readers of every server are told exactly what they lost", async (_, purge, ofWorker, ofJob) => {
    const namespace = freshNamespace();
    const [one, two] = [await server(namespace), await server(namespace)];
    for (let i = 0; i < 5; i++) {
      await one.append({ events: events("a", 1, i) });
      await one.append({ events: jobEvents("b", "j", 2, i) });
    }
    await same(one, two);
    // The snapshot that comes with this has the third begin without any message in memory.
    await one.close();
    const three = await server(namespace);
    await asOperator(nats().url, (manager) => manager.streams.purge(streamOf(namespace), purge));
    await eventually(async () => {
      // What a server still has in memory it may give; what it finds gone, everyone is told.
      for (const scope of scopes) await readAll(three, { scope });
      expect(three.bounds(workers("a")).floor.workerOrdinal).toBe(ofWorker);
    });
    await same(two, three);
    expect(two.bounds(job("j")).floor.jobOrdinal).toBe(ofJob);
    for (const log of [two, three]) for (const scope of scopes) await expectExactExpiry(log, scope);
    const { last } = await two.append({ events: [event("a", "after"), ...jobEvents("b", "j", 1)] });
    expect(last).toMatchObject({ ordinal: 17, workerOrdinal: 11, jobOrdinal: 11 });
    await same(two, three);
  });

  test("the first answer says all that is lost, however little of it was asked for", async () => {
    const namespace = freshNamespace();
    const one = await server(namespace);
    for (let i = 0; i < 40; i++) {
      await one.append({ events: events("a", 1, i) });
      await one.append({ events: events("b", 1, i) });
    }
    // The snapshot that comes with this has the next begin without any message in memory.
    await one.close();
    const two = await server(namespace);
    const filter = `tailrace.*.e.${Buffer.from("a").toString("base64url")}.-`;
    await asOperator(nats().url, (manager) => manager.streams.purge(streamOf(namespace), { filter }));
    const read = { scope: runtimeScope, kinds: undefined, until: Number.MAX_SAFE_INTEGER, maxBytes: 1e6 };
    const after = two.bounds(workers("a")).head.sequence - 75;
    const page = await two.read({ ...read, after, maxEvents: 4 });
    expect(page.kind === "expired" && page.floor).toMatchObject({ sequence: 79, ordinal: 79 });
    expect(two.bounds(workers("a")).floor).toMatchObject({ sequence: 79, workerOrdinal: 40 });
    await expectExactExpiry(two, workers("a"));
  });
});
