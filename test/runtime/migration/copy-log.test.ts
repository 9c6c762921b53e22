import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { expect, onTestFinished, test } from "vitest";
import { ListEventsRequestSchema, WatchEventsRequestSchema } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { GetJobRequestSchema, StartJobRequestSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import type { EventLog, Scope } from "../../../src/log/contract.ts";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { MemoryLog } from "../../../src/log/memory/index.ts";
import { CopyClock, copyLog } from "../../../src/runtime/migration/copy-log.ts";
import { requireUnserved } from "../../../src/runtime/migration/unserved.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { batch, customEvents, eventsIn, framesUntil, isDiagnostic } from "../support.ts";
import { foldedFromLog, getTranscript, shown, stateOf } from "../transcripts/support.ts";

const start = 1_700_000_000_000;

/** Everything that a log retains, but for its numbers. */
async function contentOf(log: EventLog, scope: Scope = { kind: "runtime" }): Promise<unknown[][]> {
  const content: unknown[][] = [];
  let after = log.bounds(scope).floor.sequence;
  for (;;) {
    const page = await log.read({
      scope,
      kinds: undefined,
      after,
      until: Number.MAX_SAFE_INTEGER,
      maxEvents: 100,
      maxBytes: 1e6,
    });
    if (page.kind === "expired" || page.block === undefined) return content;
    const { block } = page;
    for (let i = 0; i < block.length; i++) {
      content.push([
        block.subjects.idOf(block.workers[i] as number),
        block.jobSubjects.idOf(block.jobs[i] as number),
        block.kinds[i],
        block.times[i],
        Buffer.from(block.bytes.subarray(block.starts[i], block.ends[i])).toString("hex"),
      ]);
    }
    after = page.through.sequence;
  }
}

async function copied(source: EventLog): Promise<{ target: MemoryLog; events: number }> {
  const clock = new CopyClock();
  const target = new MemoryLog({ runtimeId: source.identity.runtimeId, clock });
  return { target, ...(await copyLog({ source, target, clock })) };
}

test("events go along in order and with their times, whatever was trimmed before", async () => {
  const clock = new ManualClock(start);
  const source = new MemoryLog({ clock, retention: { workerEvents: 40 } });
  const runtime = new Runtime({ log: source, clock });
  await runtime.publishEvents(batch({ events: customEvents("quiet", 5) }));
  for (let i = 0; i < 60; i++) {
    await runtime.publishEvents(batch({ events: customEvents(`w${i % 3}`, 7, i * 7) }));
    if (i % 4 === 0) clock.advance(i);
  }
  const { target, events } = await copied(source);
  const content = await contentOf(target);
  expect(content).toHaveLength(events);
  // What only its worker still showed is there too.
  expect(events).toBe(3 * 40 + 6);
  const shownByRuntime = await contentOf(source);
  expect(shownByRuntime.length).toBeLessThan(events);
  expect(content.slice(-shownByRuntime.length)).toEqual(shownByRuntime);
  for (const workerId of ["w0", "w1", "w2", "quiet"]) {
    const scope = { kind: "workers", workerIds: [workerId] } as const;
    const inOrder = content.filter(([worker]) => worker === workerId);
    expect(inOrder).toEqual(await contentOf(source, scope));
    expect(inOrder).toEqual(await contentOf(target, scope));
  }
  expect(target.identity.runtimeId).toBe(source.identity.runtimeId);
  expect(target.identity.generation).not.toBe(source.identity.generation);
  const [firstOf] = [...target.workers()].filter(({ workerId }) => workerId === "w1");
  expect(firstOf).toMatchObject({ lastOrdinal: 40, retainedEvents: 40 });
});

test("what was remembered of jobs, producers, workers and transcripts says the same of the new log", async () => {
  const [from, to] = [join(scratchDirectory(), "from"), join(scratchDirectory(), "to")];
  const retention = { workerEvents: 20 };
  const first = new Runtime({ log: await openEmbeddedLog({ directory: from, retention }) });
  const request = batch({ events: customEvents("w", 3), producerId: "p", firstProducerSequence: 1n });
  // What is trimmed gives everything after it another number in the new log.
  await first.publishEvents(batch({ events: customEvents("trimmed", 30) }));
  await first.publishEvents(batch({ events: customEvents("trimmed", 30) }));
  const given = await first.publishEvents(request);
  first.operation("work", {}, async (_params, job) => {
    await job.narrate("step", "one");
  });
  const { jobId: done } = await first.submit("work", {}, { idempotencyKey: "done", workerId: "w" });
  await expect.poll(() => jobOf(first, done).state).toBe(JobState.SUCCEEDED);
  const { jobId: waits } = await first.submit("work", {}, { deferred: true });
  await first.publish([
    { workerId: "w", payload: { case: "userMessage", value: { messageId: "m1" } } },
    { workerId: "w", payload: { case: "userMessage", value: { messageId: "m2" } } },
  ]);
  const transcript = await getTranscript(first, "w");
  expect(transcript.entries).toHaveLength(2);
  await first.close();

  const source = await openEmbeddedLog({ directory: from });
  const clock = new CopyClock();
  const target = await openEmbeddedLog({ directory: to, clock, runtimeId: source.identity.runtimeId });
  await copyLog({ source, target, clock });
  const content = await contentOf(target);
  expect(content).toEqual(await contentOf(source));
  await target.close();
  await source.close();

  const second = new Runtime({ log: await openEmbeddedLog({ directory: to }) });
  onTestFinished(() => second.close());
  expect(jobOf(second, done)).toMatchObject({ state: JobState.SUCCEEDED, operation: "work", workerId: "w" });
  second.operation("work", {}, () => undefined);
  expect((await second.submit("work", {}, { idempotencyKey: "done", workerId: "w" })).jobId).toBe(done);
  await second.startJob(create(StartJobRequestSchema, { jobId: waits }));
  await expect.poll(() => jobOf(second, waits).state).toBe(JobState.SUCCEEDED);

  // The watch of a job shows its events and its end, from where the job's answer says that it begins.
  const watch = create(WatchEventsRequestSchema, { jobId: done });
  const frames = await framesUntil(second.watch(watch), isDiagnostic("streamEnded"));
  expect(eventsIn(frames).map(({ payload }) => payload.case)).toEqual([
    "jobStateChanged",
    "jobStateChanged",
    "narration",
    "narration",
    "narration",
    "jobStateChanged",
  ]);

  // A retry of what was published before is known, and says where it is now.
  const repeat = await second.publishEvents(request);
  expect(repeat.duplicate).toBe(true);
  expect(repeat.firstSequence).not.toBe(given.firstSequence);
  const events = await retainedEventsOf(second, "w");
  // The worker is made by the first event of its own, in the same batch.
  const last = events[Number(given.lastSequence - given.firstSequence)];
  expect(repeat.firstSequence).toBe(events[0]?.sequence);
  expect(repeat.lastSequence).toBe(last?.sequence);
  expect(repeat.cursor).toBe(last?.cursor);

  const kept = await getTranscript(second, "w");
  expect(shown(stateOf(kept))).toEqual(shown(await foldedFromLog(second, "w")));
  expect(kept.entries.map(({ entryNumber }) => entryNumber)).toEqual(
    transcript.entries.map(({ entryNumber }) => entryNumber),
  );
});

test("a log that was used is no target, and one that is written to is no source", async () => {
  const source = new MemoryLog();
  const runtime = new Runtime({ log: source });
  await runtime.publishEvents(batch({ events: customEvents("w", 1) }));
  const clock = new CopyClock();
  await expect(copyLog({ source, target: source, clock })).rejects.toMatchObject({
    reason: "invalid_request",
    details: { field: "to" },
  });
  const withState = new MemoryLog({ clock });
  await withState.append({ events: [], state: new Map([["worker/w", new Uint8Array(1)]]) });
  await expect(copyLog({ source, target: withState, clock })).rejects.toMatchObject({ details: { field: "to" } });
  const onProgress = () => {
    void runtime.publishEvents(batch({ events: customEvents("w", 1) }));
  };
  await expect(copyLog({ source, target: new MemoryLog({ clock }), clock, onProgress })).rejects.toMatchObject({
    reason: "invalid_request",
    details: { field: "from" },
  });
});

test("workers of which nothing is retained stay behind, with what was known of them", async () => {
  const clock = new ManualClock(start);
  const source = new MemoryLog({ clock, retention: { workerAgeMs: 1_000, ageMs: 1_000 } });
  const runtime = new Runtime({ log: source, clock });
  await runtime.publish([{ workerId: "old", payload: { case: "workerCreated", value: {} } }]);
  clock.advance(10_000);
  await runtime.publish([{ workerId: "new", payload: { case: "workerCreated", value: {} } }]);
  expect(source.worker("old")).toMatchObject({ retainedEvents: 0 });
  const { target } = await copied(source);
  expect([...target.workers()].map(({ workerId }) => workerId)).toEqual(["new"]);
  expect([...target.stateEntries("worker/")].map(([key]) => key)).toEqual(["worker/new"]);
});

function jobOf(runtime: Runtime, jobId: string) {
  const found = runtime.getJob(create(GetJobRequestSchema, { jobId })).job;
  if (found === undefined) throw new Error(`there is no job ${jobId}`);
  return found;
}

async function retainedEventsOf(runtime: Runtime, workerId: string) {
  return (await runtime.listEvents(create(ListEventsRequestSchema, { workerIds: [workerId] }))).events;
}

test("a log that has a server is not copied, and one whose servers are silent is, without them", async () => {
  const source = new MemoryLog();
  const beat = () => source.append({ events: [], state: new Map([["server/one", Buffer.from("1")]]) });
  await beat();
  await source.append({ events: [], state: new Map([["job-ask/none", Buffer.from("")]]) });
  class Held extends CopyClock {
    fire: () => void = () => undefined;
    override after(_ms: number, callback: () => void) {
      this.fire = callback;
      return () => undefined;
    }
  }
  const refused = requireUnserved(source, new Held());
  await beat();
  await expect(refused).rejects.toMatchObject({ reason: "invalid_request", details: { field: "from" } });
  await expect(requireUnserved(source, new Held(), AbortSignal.abort(new Error("stopped")))).rejects.toThrow("stopped");

  const clock = new Held();
  const unserved = requireUnserved(source, clock);
  // One that leaves meanwhile changes nothing.
  await source.append({ events: [], state: new Map([["server/two", null]]) });
  clock.fire();
  await unserved;
  const { target } = await copied(source);
  expect([...target.stateEntries("")]).toEqual([]);
});

test("a target that somebody else writes to meanwhile is no copy", async () => {
  const source = new MemoryLog();
  const runtime = new Runtime({ log: source });
  await runtime.publishEvents(batch({ events: customEvents("w", 5) }));
  const clock = new CopyClock();
  const target = new MemoryLog({ clock });
  const onProgress = () =>
    void target.append({ events: [{ workerId: "", jobId: "", kind: 10, body: new Uint8Array() }] });
  await expect(copyLog({ source, target, clock, onProgress })).rejects.toMatchObject({
    reason: "invalid_request",
    details: { field: "to" },
  });
});
