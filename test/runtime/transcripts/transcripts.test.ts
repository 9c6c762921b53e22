import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../src/base/clock.ts";
import { TailraceError } from "../../../src/base/errors.ts";
import { limits, type RetentionLimits } from "../../../src/base/limits.ts";
import { decodeEvents } from "../../../src/events/stored.ts";
import { foldTranscript } from "../../../src/events/transcript/fold.ts";
import { emptyTranscript } from "../../../src/events/transcript/state.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { MemoryLog } from "../../../src/log/memory/index.ts";
import { Runtime, type RuntimeOptions } from "../../../src/runtime/runtime.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { eventually, until } from "../../support/until.ts";
import { memoryRuntime } from "../support.ts";
import { conversation, foldedFromLog, getTranscript, shown, stateOf, take } from "./support.ts";

const fail = (error: unknown) => {
  throw error;
};

async function embeddedRuntime(
  directory: string,
  options: Partial<RuntimeOptions> & { retention?: Partial<RetentionLimits> } = {},
) {
  const { retention = {}, ...rest } = options;
  const log = await openEmbeddedLog({ directory, durability: "process", retention });
  return new Runtime({ log, onError: fail, ...rest });
}

test("the transcript is the fold of what was committed, and its cursor is where it ends", async () => {
  const { runtime } = memoryRuntime();
  const events = conversation("w");
  for (let n = 0; n < 60; n++) {
    const receipt = await runtime.publish(take(events, 1));
    const answer = await getTranscript(runtime, "w");
    expect(answer.cursor).toBe(receipt.cursor);
    expect(shown(stateOf(answer))).toEqual(shown(await foldedFromLog(runtime, "w")));
  }
});

test("a worker without a transcript has an empty one, and one that does not exist is not found", async () => {
  const { runtime } = memoryRuntime();
  await runtime.publish([{ workerId: "w", payload: { case: "workerStatus", value: { state: 2 } } }]);
  expect(await getTranscript(runtime, "w")).toMatchObject({ entries: [], keptEntries: 0n, state: 2 });
  await expect(getTranscript(runtime, "nobody")).rejects.toMatchObject({ reason: "worker_not_found" });
});

test("not modified as long as nothing of it changed, with the cursor of now", async () => {
  const { runtime } = memoryRuntime();
  await runtime.publish(take(conversation("w"), 5));
  const { revision } = await getTranscript(runtime, "w");
  const { cursor } = await runtime.publish([{ workerId: "w", payload: { case: "usage", value: {} } }]);
  const same = await getTranscript(runtime, "w", { ifRevisionNot: revision });
  expect(same).toMatchObject({ notModified: true, entries: [], cursor, revision });
  await runtime.publish([{ workerId: "w", payload: { case: "workerStatus", value: { state: 3 } } }]);
  expect(await getTranscript(runtime, "w", { ifRevisionNot: revision })).toMatchObject({
    notModified: false,
    state: 3,
  });
});

describe("a restart", () => {
  test("in the middle of a block keeps the transcript, whether it was kept or has to be folded", async () => {
    const directory = scratchDirectory();
    const events = conversation("w");
    let before: unknown;
    // Some rounds end inside a block of text, some inside a call.
    for (const count of [0, 8, 5, 20, 3, 1]) {
      const runtime = await embeddedRuntime(directory);
      if (before !== undefined) expect(shown(stateOf(await getTranscript(runtime, "w")))).toEqual(before);
      await runtime.publish([...take(events, count), { workerId: "w", payload: { case: "usage", value: {} } }]);
      before = shown(stateOf(await getTranscript(runtime, "w")));
      expect(before).toEqual(shown(await foldedFromLog(runtime, "w")));
      await runtime.close();
    }
  });

  test("keeps what retention has removed since", async () => {
    const directory = scratchDirectory();
    const retention = { workerEvents: 7 };
    const events = conversation("w");
    let before: unknown;
    let held = 0;
    for (let life = 0; life < 4; life++) {
      const runtime = await embeddedRuntime(directory, { retention });
      if (before !== undefined) expect(shown(stateOf(await getTranscript(runtime, "w")))).toEqual(before);
      for (let n = 0; n < 10; n++) await runtime.publish(take(events, 9));
      before = shown(stateOf(await getTranscript(runtime, "w")));
      held = Number(runtime.log.worker("w")?.retainedEvents);
      await runtime.close();
    }
    expect(JSON.stringify(before)).toContain('"m17"');
    expect(JSON.stringify(before)).toContain('"m0"');
    // Nothing that was not kept could go; after the end all of it is kept.
    expect(held).toBeGreaterThan(retention.workerEvents);
    const log = await openEmbeddedLog({ directory, retention });
    expect(log.worker("w")?.retainedEvents).toBe(retention.workerEvents);
    await log.close();
  });

  test("that ends before everything is folded again loses nothing", async () => {
    const directory = scratchDirectory();
    const retention = { workerEvents: 5 };
    const events = conversation("w");
    const first = await embeddedRuntime(directory, { retention, onError: () => undefined });
    // So many that a start is not done with them when it is asked to end.
    const others = Array.from({ length: 3_000 }, (_, n) => ({
      workerId: `${n}`,
      payload: { case: "usage" as const, value: {} },
    }));
    await first.publish(others);
    await first.publish(take(events, 1));
    await until(() => first.log.state("transcript/w") !== undefined, "the transcript to be kept");
    await first.publish(take(events, 30));
    const before = shown(stateOf(await getTranscript(first, "w")));
    // As if it had crashed: what came last is in no transcript that the log keeps.
    await first.log.close();
    for (let life = 0; life < 3; life++) await (await embeddedRuntime(directory, { retention })).close();
    const runtime = await embeddedRuntime(directory, { retention });
    expect(shown(stateOf(await getTranscript(runtime, "w")))).toEqual(before);
    await runtime.close();
  });

  test("waits with its answer until the worker's events are folded, while others write", async () => {
    const log = new MemoryLog({ runtimeId: "test" });
    const writer = new Runtime({ log, onError: fail });
    const ids = Array.from({ length: 200 }, (_, i) => `w${i}`);
    const conversations = ids.map((id) => conversation(id));
    for (const events of conversations) await writer.publish(take(events, 30));
    // A second runtime over the same log starts as after a crash: nothing was kept.
    const runtime = new Runtime({ log, onError: fail });
    const writing = conversations.map(async (events) => {
      for (let n = 0; n < 20; n++) await writer.publish(take(events, 1));
    });
    for (const id of ids.toReversed()) {
      const state = stateOf(await getTranscript(runtime, id));
      expect(shown(state)).toEqual(shown(await foldedFromLog(runtime, id, state.sequence)));
    }
    await Promise.all(writing);
    for (const id of ids) {
      expect(shown(stateOf(await getTranscript(runtime, id)))).toEqual(shown(await foldedFromLog(runtime, id)));
    }
    await runtime.close();
  });
});

test("says log_unavailable while what was not kept can't be read, and answers when it can", async () => {
  const clock = new ManualClock();
  const log = new MemoryLog({ runtimeId: "test", clock });
  const writer = new Runtime({ log, clock, onError: fail });
  await writer.publish(take(conversation("w"), 30));
  const read = log.read.bind(log);
  const details = { sinceMs: clock.now(), retryAfterMs: 1 };
  log.read = () => Promise.reject(new TailraceError("log_unavailable", details, "The disk is gone."));
  const errors: unknown[] = [];
  // It starts as after a crash.
  const runtime = new Runtime({ log, clock, onError: (error) => errors.push(error) });
  await expect(getTranscript(runtime, "w")).rejects.toMatchObject({ reason: "log_unavailable" });
  expect(errors).toEqual([expect.objectContaining({ reason: "log_unavailable" })]);
  log.read = read;
  expect(shown(stateOf(await getTranscript(runtime, "w")))).toEqual(shown(await foldedFromLog(runtime, "w")));
  // Retention was held until then.
  clock.advance(limits.logRetryMs);
  await runtime.close();
});

test("retention waits until what it would remove is kept, then removes it, and the transcript stays", async () => {
  const { runtime, log, clock } = memoryRuntime({ workerEvents: 5 });
  const events = conversation("w");
  let truth = emptyTranscript();
  log.subscribe((block) => {
    truth = decodeEvents(block, runtime.cursors).reduce(foldTranscript, truth);
  });
  // Retention is held from the first event of a transcript on.
  await runtime.publish(take(events, 1));
  await runtime.publish(take(events, 30));
  await runtime.publish(take(events, 30));
  expect(log.worker("w")?.retainedEvents).toBe(60);
  const before = shown(stateOf(await getTranscript(runtime, "w")));
  expect(before).toEqual(shown(truth));
  clock.advance(limits.transcriptKeepMs);
  await until(() => (log.worker("w")?.retainedEvents ?? 0) === 5, "retention to go on");
  expect(shown(stateOf(await getTranscript(runtime, "w")))).toEqual(before);
  await runtime.close();
});

test("a write that fails is tried again, and holds retention until then", async () => {
  const clock = new ManualClock();
  const log = new MemoryLog({ runtimeId: "test", clock, retention: { workerEvents: 5 } });
  const errors: unknown[] = [];
  const runtime = new Runtime({ log, clock, onError: (error) => errors.push(error) });
  const events = conversation("w");
  await runtime.publish(take(events, 1));
  await runtime.publish(take(events, 30));
  const append = log.append.bind(log);
  log.append = () => Promise.reject(new Error("no room"));
  clock.advance(limits.transcriptKeepMs);
  await until(() => errors.length > 0, "the fault to be reported");
  log.append = append;
  await runtime.publish([{ workerId: "other", payload: { case: "usage", value: {} } }]);
  expect(log.worker("w")?.retainedEvents).toBeGreaterThan(5);
  clock.advance(limits.transcriptKeepMs);
  await until(() => log.worker("w")?.retainedEvents === 5, "retention to go on");
  await runtime.close();
});

describe("memory", () => {
  const text = (workerId: string, n: number, length: number) => ({
    workerId,
    payload: { case: "systemItem" as const, value: { json: `"${n}${"x".repeat(length)}"` } },
  });

  test("of one transcript is bounded: the oldest entries go, and are counted", async () => {
    const log = new MemoryLog({ runtimeId: "test" });
    const runtime = new Runtime({ log, onError: fail, transcripts: { maxEntries: 10, maxBytes: 5_000 } });
    for (let n = 1; n <= 30; n++) await runtime.publish([text("w", n, 10)]);
    let answer = await getTranscript(runtime, "w");
    expect(answer).toMatchObject({ droppedEntries: 20n, keptEntries: 10n });
    expect(answer.entries.map(({ entryNumber }) => Number(entryNumber))).toEqual([
      21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
    ]);
    for (let n = 31; n <= 34; n++) await runtime.publish([text("w", n, 2_000)]);
    answer = await getTranscript(runtime, "w");
    expect(answer.entries.map(({ entryNumber }) => Number(entryNumber))).toEqual([33, 34]);
    expect(answer).toMatchObject({ droppedEntries: 32n, keptEntries: 2n });
    await runtime.close();
  });

  test("of all transcripts is bounded: those that are not used go, and come back as they were", async () => {
    const log = new MemoryLog({ runtimeId: "test" });
    const memoryBytes = 100_000;
    const runtime = new Runtime({ log, onError: fail, transcripts: { memoryBytes } });
    const ids = Array.from({ length: 60 }, (_, i) => `w${i}`);
    const conversations = ids.map((id) => conversation(id));
    for (let round = 0; round < 4; round++) {
      for (const events of conversations) await runtime.publish(take(events, 13));
    }
    await until(() => runtime.transcripts.bytes <= memoryBytes, "transcripts to be let go of");
    expect(runtime.transcripts.count).toBeLessThan(ids.length);
    for (const id of ids) {
      expect(shown(stateOf(await getTranscript(runtime, id)))).toEqual(shown(await foldedFromLog(runtime, id)));
      expect(runtime.transcripts.bytes).toBeLessThanOrEqual(memoryBytes);
    }
    await runtime.close();
  });

  test("of what the log keeps is bounded: those that changed longest ago lose entries, and count them", async () => {
    const log = new MemoryLog({ runtimeId: "test" });
    const keptBytes = 110_000;
    const runtime = new Runtime({ log, onError: fail, transcripts: { keptBytes, memoryBytes: 1 } });
    for (let worker = 0; worker < 40; worker++) {
      await runtime.publish(Array.from({ length: 4 }, (_, n) => text(`w${worker}`, n, 1_000)));
    }
    const kept = () => [...log.stateEntries("transcript/")].reduce((sum, [, bytes]) => sum + bytes.length, 0);
    await until(() => kept() > keptBytes / 2 && kept() <= keptBytes, "transcripts to shrink");
    const newest = await getTranscript(runtime, "w39");
    expect(newest).toMatchObject({ keptEntries: 4n, droppedEntries: 0n });
    await eventually(async () => {
      const oldest = await getTranscript(runtime, "w0");
      expect(oldest.keptEntries).toBeLessThan(4n);
      expect(oldest.keptEntries + oldest.droppedEntries).toBe(4n);
    });
    await runtime.close();
  });

  test("is given back when a worker is forgotten", async () => {
    const { runtime, log, clock } = memoryRuntime({ ageMs: 1000 });
    await runtime.publish(take(conversation("w"), 5));
    await runtime.worker("w").end({ outcome: 1 });
    clock.advance(limits.transcriptKeepMs);
    await until(() => log.state("transcript/w") !== undefined, "the transcript to be kept");
    for (let n = 0; n < 4; n++) {
      clock.advance(limits.workerMemoryMs / 2);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => log.worker("w") === undefined, "the worker to be forgotten");
    expect(log.state("transcript/w")).toBeUndefined();
    expect(runtime.transcripts.count).toBe(0);
    await runtime.close();
  });
});
