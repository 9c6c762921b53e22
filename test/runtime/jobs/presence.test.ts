import { describe, expect, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { limits } from "../../../src/base/limits.ts";
import { until } from "../../support/until.ts";
import { type ServerInMemory, ServersInMemory } from "./servers.ts";
import {
  cancelJob,
  controlledHandler,
  eventsOfJob,
  getJob,
  jobRuntime,
  reached,
  said,
  settled,
  startJob,
} from "./support.ts";

const beatMs = limits.serverPresenceMs;

test("a server that is killed is lost after some beats of another, and not before", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const running = await servers.submit(a, "work");
  await servers.turn();
  expect(a.calls).toHaveLength(1);
  a.crash();
  // The first beat of the other one has come after the last that was heard.
  await servers.advance((limits.serverLostBeats - 2) * beatMs);
  expect(getJob(b.runtime, running)).toMatchObject({ state: JobState.RUNNING });
  await servers.advance(2 * beatMs);
  expect(getJob(b.runtime, running)).toMatchObject({ state: JobState.FAILED, reason: "runtime_lost" });
  expect(said(await eventsOfJob(b.runtime, running))).toEqual([
    "queued",
    "running",
    "execute",
    "execute_error",
    "failed",
  ]);
});

test("jobs that wait at a lost server run at another one, in their order, once", async () => {
  const servers = new ServersInMemory();
  const [a, b, c] = [servers.start(), servers.start(), servers.start()];
  const jobs: string[] = [];
  for (let i = 0; i < 5; i++) jobs.push(await servers.submit(a, "work"));
  const deferred = await servers.submit(a, "work", { deferred: true });
  await servers.turn();
  a.crash();
  await servers.lose();
  for (const job of [...b.calls, ...c.calls]) job.finish();
  await servers.turn();
  for (const job of [...b.calls, ...c.calls]) job.finish();
  await servers.turn();
  expect(jobs.map((id) => getJob(b.runtime, id).state)).toEqual([
    JobState.FAILED,
    JobState.FAILED,
    JobState.SUCCEEDED,
    JobState.SUCCEEDED,
    JobState.SUCCEEDED,
  ]);
  expect([...b.calls, ...c.calls].map(({ job }) => job.id)).toEqual(jobs.slice(2));
  expect(getJob(c.runtime, deferred)).toMatchObject({ state: JobState.QUEUED, deferred: true });
  const start = startJob(b.runtime, deferred);
  await servers.turn();
  await start;
  await servers.turn();
  expect(getJob(b.runtime, deferred)).toMatchObject({ state: JobState.RUNNING, deferred: false });
  expect(servers.faults).toEqual([]);
});

test("a job whose operation the others do not have waits for one that does, or for its time to be over", async () => {
  const servers = new ServersInMemory();
  const a = servers.start(["rare"]);
  const b = servers.start(["work"]);
  b.log.takeOver();
  const [first, second, patient, hasty] = [
    await servers.submit(a, "rare"),
    await servers.submit(a, "rare"),
    await servers.submit(a, "rare"),
    await servers.submit(a, "rare", { timeouts: { queueMs: 40_000 } }),
  ];
  a.crash();
  await servers.lose();
  expect([first, second].map((id) => getJob(b.runtime, id).reason)).toEqual(["runtime_lost", "runtime_lost"]);
  expect([patient, hasty].map((id) => getJob(b.runtime, id).state)).toEqual([JobState.QUEUED, JobState.QUEUED]);
  await servers.advance(40_000);
  expect(getJob(b.runtime, hasty)).toMatchObject({ state: JobState.TIMED_OUT, reason: "queue_timeout" });
  const c = servers.start(["rare"]);
  await servers.turn();
  expect(c.calls.map(({ job }) => job.id)).toEqual([patient]);
});

test.each([
  ["ahead", 36_000_000],
  ["behind", -36_000_000],
])("a job waits as long as it may where the clock of who takes it over is %s", async (_, wrongByMs) => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(["work", "rare"]), servers.start(["work"])];
  // No clock is moved back: its timers would wait.
  if (wrongByMs > 0) b.clock.advance(wrongByMs);
  else for (const clock of [servers.clock, a.clock]) clock.advance(-wrongByMs);
  b.log.takeOver();
  await servers.turn();
  const options = { deferred: true, timeouts: { queueMs: 120_000 } };
  // One goes into a queue of the other server, and one waits for a server that has its operation.
  const jobs = [await servers.submit(a, "work", options), await servers.submit(a, "rare", options)];
  const states = () => jobs.map((id) => getJob(b.runtime, id).state);
  a.crash();
  await servers.lose();
  expect(states()).toEqual([JobState.QUEUED, JobState.QUEUED]);
  await servers.advance(80_000);
  expect(states()).toEqual([JobState.QUEUED, JobState.QUEUED]);
  await servers.advance(30_000);
  expect(states()).toEqual([JobState.TIMED_OUT, JobState.TIMED_OUT]);
  expect(servers.faults).toEqual([]);
});

test("jobs of a log that had one server are taken over by the servers that share it now", async () => {
  const before = jobRuntime();
  before.runtime.operation("work", { concurrency: 1 }, controlledHandler().handler);
  const [ran, waited] = [await before.runtime.submit("work"), await before.runtime.submit("work")];
  await reached(before.runtime, ran.jobId, JobState.RUNNING);
  const servers = new ServersInMemory();
  const copied = servers.stream.open().append({ events: [], state: new Map(before.log.stateEntries("job/")) });
  await servers.turn();
  await copied;
  const both = [servers.start(), servers.start()];
  await servers.turn();
  const [{ runtime }] = both as [ServerInMemory];
  expect(getJob(runtime, ran.jobId)).toMatchObject({ state: JobState.FAILED, reason: "runtime_lost" });
  expect(both.flatMap(({ calls }) => calls).map(({ job }) => job.id)).toEqual([waited.jobId]);
});

test("a server that closes leaves what waits to the others at once", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const jobs: string[] = [];
  for (let i = 0; i < 3; i++) jobs.push(await servers.submit(a, "work"));
  await servers.turn();
  const closing = a.runtime.close();
  for (const call of a.calls) call.finish();
  await servers.turn();
  await closing;
  expect(getJob(b.runtime, jobs[2] as string)).toMatchObject({ state: JobState.RUNNING });
  expect(b.calls.map(({ job }) => job.id)).toEqual([jobs[2]]);
  expect(jobs.slice(0, 2).map((id) => getJob(b.runtime, id).reason)).toEqual(["runtime_closed", "runtime_closed"]);
});

test("a server that was paused for too long is overruled: its handlers are aborted and say nothing more", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const jobs: string[] = [];
  for (let i = 0; i < 3; i++) jobs.push(await servers.submit(a, "work"));
  await servers.turn();
  a.pause();
  await servers.lose();
  expect(getJob(b.runtime, jobs[0] as string).reason).toBe("runtime_lost");
  expect(b.calls.map(({ job }) => job.id)).toEqual([jobs[2]]);
  // What it said meanwhile, and what its handlers do before it has heard.
  const said0 = a.calls[0]?.job.narrate("said", "while it was paused");
  a.calls[1]?.finish();
  await settled();
  a.resume();
  await servers.turn();
  await expect(said0).rejects.toMatchObject({ reason: "job_ended" });
  expect(a.calls.map(({ job }) => job.signal.aborted)).toEqual([true, false]);
  await expect(a.calls[0]?.job.narrate("said", "later")).rejects.toMatchObject({ reason: "job_ended" });
  a.calls[0]?.finish();
  await servers.turn();
  for (const id of jobs.slice(0, 2)) {
    const events = said(await eventsOfJob(a.runtime, id));
    expect(events).toEqual(["queued", "running", "execute", "execute_error", "failed"]);
  }
  // It is of use again.
  const next = await servers.submit(a, "work");
  await servers.turn();
  expect(a.calls.at(-1)?.job.id).toBe(next);
  expect(getJob(b.runtime, next)).toMatchObject({ state: JobState.RUNNING });
  expect(a.runtime.jobsHeld.running).toBe(1);
});

test("nobody is lost while the log stands still for everyone, nor by one that was paused itself", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const id = await servers.submit(a, "work");
  await servers.turn();
  for (const server of [a, b]) server.log.pause();
  await servers.advance(100 * beatMs);
  for (const server of [a, b]) server.log.resume();
  await servers.advance(beatMs);
  b.pause();
  await servers.advance(limits.serverLostBeats * beatMs - 1);
  b.resume();
  await servers.advance(2 * beatMs);
  expect(getJob(b.runtime, id)).toMatchObject({ state: JobState.RUNNING });
  a.calls[0]?.finish();
  await servers.turn();
  expect(getJob(b.runtime, id)).toMatchObject({ state: JobState.SUCCEEDED });
});

test("cancel reaches a job wherever it runs or waits", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const jobs: string[] = [];
  for (let i = 0; i < 4; i++) jobs.push(await servers.submit(a, "work"));
  const [running, , waiting, next] = jobs as [string, string, string, string];
  await servers.turn();
  const cancelling = Promise.all([cancelJob(b.runtime, running, "enough"), cancelJob(b.runtime, waiting, "no need")]);
  await servers.turn();
  const [asked, ended] = await cancelling;
  expect(asked.job).toMatchObject({ state: JobState.RUNNING, cancelRequested: true });
  expect(ended.job).toMatchObject({ state: JobState.CANCELLED, message: "no need" });
  expect(getJob(b.runtime, running).cancelRequested).toBe(true);
  expect(getJob(a.runtime, running).cancelRequested).toBe(true);
  expect(a.calls[0]?.job.signal.aborted).toBe(true);
  // That a cancel is on its way keeps no job from saying something still.
  const last = a.calls[0]?.job.narrate("said", "the last");
  await servers.turn();
  await last;
  a.calls[0]?.finish();
  await servers.turn();
  expect(getJob(b.runtime, running)).toMatchObject({ state: JobState.CANCELLED, message: "enough" });
  expect([...a.log.stateEntries("job-ask/")]).toEqual([]);
  // The place in the queue is free, and the next one has it.
  expect(a.calls.map(({ job }) => job.id)).toContain(next);
});

test("what a job said before its end is never made to come after it, because another server was first", async () => {
  const servers = new ServersInMemory();
  const [a, b] = [servers.start(), servers.start()];
  const id = await servers.submit(a, "work", { workerId: "w" });
  await servers.turn();
  a.log.mute(true);
  const ending = b.runtime.worker("w").publish({ case: "workerEnded", value: {} });
  // Not known here yet that the worker has ended, so this is refused, and decided again.
  const narrating = a.calls[0]?.job.narrate("said", "x").catch((error: { reason: string }) => error.reason);
  await servers.turn();
  await ending;
  // This knows it, and is not.
  a.calls[0]?.finish();
  await servers.turn();
  a.log.send();
  await servers.turn();
  a.log.mute(false);
  await servers.turn();
  expect(await narrating).toBe("job_ended");
  expect(said(await eventsOfJob(b.runtime, id))).toEqual([
    "queued",
    "running",
    "execute",
    "execute_complete",
    "succeeded",
  ]);
});

describe.concurrent("of an end of which nobody knows whether it was written", () => {
  const complete = ["queued", "running", "execute", "execute_complete", "succeeded"];

  /** A job whose end was not answered. `late`: whether it arrives before, or after, it is written again; else never. */
  async function ending(late: "before" | "after" | "never") {
    const servers = new ServersInMemory();
    const [a, b] = [servers.start(), servers.start()];
    const id = await servers.submit(a, "work");
    await servers.turn();
    a.log.loseAnswers(true);
    a.calls[0]?.finish();
    // The writer waits for what may have come meanwhile, and then gives up.
    const before = a.clock.pending;
    await until(() => a.clock.pending > before, "the end to wait for another try");
    a.log.loseAnswers(false);
    if (late === "before") a.log.sendLate();
    await servers.advance(limits.jobRetryAfterMs);
    await servers.turn();
    if (late === "after") a.log.sendLate();
    await servers.advance(limits.serverPresenceMs);
    await servers.turn();
    expect(said(await eventsOfJob(b.runtime, id))).toEqual(complete);
    expect([getJob(a.runtime, id).state, a.runtime.jobsHeld.running]).toEqual([JobState.SUCCEEDED, 0]);
  }

  test("it is written again if it was not", () => ending("never"));
  test("it is not if it was", () => ending("before"));
  test("what comes late counts no more", () => ending("after"));
});
