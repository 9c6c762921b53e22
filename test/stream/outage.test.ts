import { expect, test } from "vitest";
import { TailraceError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { streamEnded } from "../../src/events/diagnostics.ts";
import { FaultyLog } from "../conformance/faulty-log.ts";
import type { CreditSink } from "./number-form.ts";
import { TailWorld } from "./world.ts";

const gone = new TailraceError("log_unavailable", { sinceMs: 1, retryAfterMs: 5_000 }, "No connection.");

/** A tail over a log that says that it is away when a test has it say so. */
class AwayWorld extends TailWorld {
  readonly faulty: FaultyLog;

  constructor(options: Omit<ConstructorParameters<typeof TailWorld>[0] & object, "wrap"> = {}) {
    let faulty: FaultyLog | undefined;
    super({
      ...options,
      wrap: (log) => {
        faulty = new FaultyLog(log);
        return faulty;
      },
    });
    this.faulty = faulty as FaultyLog;
  }

  /** The log goes away; what is read meanwhile fails, too, unless it is in memory. */
  async goAway(readsFail = true): Promise<void> {
    this.faulty.say(gone);
    this.faulty.readFault = readsFail ? gone : undefined;
    await this.rest();
  }

  async comeBack(): Promise<void> {
    this.faulty.readFault = undefined;
    this.faulty.say(undefined);
    await this.rest();
  }

  /** Lets time pass in steps, so that everything that falls due in it can follow from each other. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 500) {
      this.clock.advance(Math.min(500, ms - passed));
      await this.rest();
    }
  }
}

const a = { kind: "workers", workerIds: ["a"] } as const;

function count(sink: CreditSink, name: string): number {
  return sink.notices.filter((notice) => notice === name).length;
}

test("watches that need nothing of the log hear once that it is away, and that they are live when it is back", async () => {
  const world = new AwayWorld();
  await world.publish("a", 3);
  const { sink } = await world.open({ scope: a, heartbeatMs: 2_000 });
  await world.rest();
  await world.goAway();
  expect(sink.notices).toEqual(["opened", "caughtUp", "logUnavailable"]);
  const [notice] = sink.controls.slice(-1);
  if (notice?.case !== "diagnostic") throw new Error("There is no notice.");
  expect(notice.value).toMatchObject({ message: gone.message, reason: { value: { retryAfter: { seconds: 5n } } } });
  expect(world.cursors.decode(notice.value.cursor)).toMatchObject({ closing: false, position: { workerOrdinal: 3 } });
  // It is still heard of: a silent connection would be taken for dead.
  await world.pass(10_000);
  expect(count(sink, "bookmark")).toBeGreaterThanOrEqual(4);
  expect(count(sink, "logUnavailable")).toBe(1);
  await world.comeBack();
  expect(sink.notices.at(-1)).toBe("caughtUp");
  await world.publish("a", 2);
  await world.rest();
  expect(sink.sequences).toEqual([1, 2, 3, 4, 5]);
  await world.pass(2 * limits.logUnavailableMs);
  expect(sink.terminal).toBeUndefined();
});

test("watches of a log that can be read hear nothing of it, until it can't be read either", async () => {
  const world = new AwayWorld();
  await world.publish("a", 1);
  const { sink } = await world.open({ scope: a });
  await world.rest();
  world.faulty.say(gone, "reads");
  await world.pass(2 * limits.logUnavailableMs);
  // Nor those that come meanwhile.
  const later = await world.open({ scope: a });
  await world.rest();
  for (const { notices, terminal } of [sink, later.sink]) {
    expect([notices.includes("logUnavailable"), terminal]).toEqual([false, undefined]);
  }
  await world.goAway();
  expect([count(sink, "logUnavailable"), count(later.sink, "logUnavailable")]).toEqual([1, 1]);
  world.faulty.readFault = undefined;
  world.faulty.say(gone, "reads");
  await world.rest();
  expect(sink.notices.at(-1)).toBe("caughtUp");
  world.faulty.say(undefined);
  await world.rest();
  expect(count(sink, "caughtUp")).toBe(2);
  expect(sink.terminal).toBeUndefined();
});

test("every watch ends with an ordinary cursor when the log was away for long, also one that takes nothing", async () => {
  const world = new AwayWorld();
  await world.publish("a", 2);
  const live = await world.open();
  const stuck = await world.open({}, 1);
  await world.rest();
  await world.goAway();
  await world.pass(limits.logUnavailableMs - limits.logRetryMs);
  expect(live.sink.ends + stuck.sink.ends).toBe(0);
  expect(stuck.sink.notices).toEqual(["opened"]);
  await world.pass(2 * limits.logRetryMs);
  for (const [{ sink }, sequence] of [
    [live, 2],
    [stuck, 0],
  ] as const) {
    expect(sink.terminal).toMatchObject({ message: gone.message, reason: { case: "logUnavailable" } });
    expect(world.cursors.decode(sink.terminal?.cursor ?? "")).toMatchObject({ closing: false, position: { sequence } });
  }
  expect(world.tail.size).toBe(0);
  await world.pass(limits.logRetryMs);
  await world.memory.close();
  expect(world.clock.pending).toBe(0);
});

test("a slow reader in the middle of a replay is told when it takes something, and gets the rest once, afterwards", async () => {
  const world = new AwayWorld();
  await world.publish("a", 3 * limits.catchUpPassEvents);
  const { sink } = await world.open({}, 2);
  await world.rest();
  expect(sink.sequences.length).toBeGreaterThan(0);
  await world.goAway();
  await world.pass(3_000);
  expect(sink.notices).toEqual(["opened"]);
  sink.grant(100);
  await world.pass(3_000);
  expect(sink.notices).toEqual(["opened", "logUnavailable"]);
  await world.comeBack();
  await world.pass(limits.logRetryMs);
  expect(sink.sequences).toEqual(Array.from({ length: 3 * limits.catchUpPassEvents }, (_, i) => i + 1));
  expect(sink.notices).toEqual(["opened", "logUnavailable", "caughtUp"]);
});

test("what is in memory still reaches a new watch, which is live only when the log is back", async () => {
  const world = new AwayWorld();
  await world.publish("a", 3);
  await world.goAway(false);
  const { sink } = await world.open();
  await world.rest();
  expect(sink.sequences).toEqual([1, 2, 3]);
  expect(sink.notices).toEqual(["opened", "logUnavailable"]);
  await world.comeBack();
  expect(sink.notices).toEqual(["opened", "logUnavailable", "caughtUp"]);
});

test("a watch that is opened in an outage has as long as those before it had, from then on", async () => {
  const world = new AwayWorld();
  await world.publish("a", 3);
  await world.goAway(false);
  await world.pass(limits.logUnavailableMs * 2);
  const { sink } = await world.open();
  await world.rest();
  expect(sink.notices).toEqual(["opened", "logUnavailable"]);
  await world.pass(limits.logUnavailableMs - limits.logRetryMs);
  expect(sink.ends).toBe(0);
  await world.pass(2 * limits.logRetryMs);
  expect(sink.terminal?.reason.case).toBe("logUnavailable");
  expect(count(sink, "logUnavailable")).toBe(2);
});

test("a log that comes and goes tells no watch of it each time, and ends none", async () => {
  const world = new AwayWorld();
  await world.publish("a", 1);
  const live = await world.open({ scope: a });
  const behind = await world.open({}, 2);
  const minutes = 2;
  for (let second = 0; second < minutes * 60; second += 2) {
    await world.goAway();
    await world.pass(1_000);
    await world.comeBack();
    await world.publish("a", 1);
    behind.sink.grant(10);
    await world.pass(1_000);
  }
  const most = (minutes * 60_000) / limits.logNoticeMs + 1;
  for (const { sink } of [live, behind]) {
    expect(count(sink, "logUnavailable")).toBeGreaterThan(1);
    expect(count(sink, "logUnavailable")).toBeLessThanOrEqual(most);
    expect(count(sink, "caughtUp")).toBeLessThanOrEqual(most + 1);
    expect(sink.ends).toBe(0);
    expect(sink.sequences).toEqual(Array.from({ length: 1 + minutes * 30 }, (_, i) => i + 1));
  }
  // One that lasts is told, as soon as that is due.
  const before = count(live.sink, "logUnavailable");
  await world.goAway();
  await world.pass(limits.logNoticeMs + limits.logRetryMs);
  expect(count(live.sink, "logUnavailable")).toBe(before + 1);
});

test("a log that has ended ends every watch at once, and each that comes then", async () => {
  const world = new AwayWorld();
  await world.publish("a", 2);
  const { sink } = await world.open();
  await world.rest();
  // Committed, and not handed out yet.
  await world.publish("a", 1);
  world.faulty.say(gone, "ended");
  expect(sink.sequences).toEqual([1, 2, 3]);
  expect(sink.terminal?.reason.case).toBe("logUnavailable");
  expect(world.cursors.decode(sink.terminal?.cursor ?? "")).toMatchObject({
    closing: false,
    position: { sequence: 3 },
  });
  const late = await world.open();
  expect(late.sink.notices).toEqual(["opened", "logUnavailable"]);
  expect(late.sink.terminal?.reason.case).toBe("logUnavailable");
  expect(world.tail.size).toBe(0);
});

test("a scope that has ended ends its watch while the log is away, if the watch has had it all", async () => {
  const end = { sequence: 2, diagnostic: (cursor: string) => streamEnded({}, "The end.", cursor) };
  const world = new AwayWorld({ endOf: (scope) => (scope.kind === "workers" ? end : undefined) });
  await world.publish("a", 2);
  await world.goAway(false);
  const { sink } = await world.open({ scope: a });
  await world.rest();
  expect(sink.sequences).toEqual([1, 2]);
  expect(sink.terminal?.reason.case).toBe("streamEnded");
});
