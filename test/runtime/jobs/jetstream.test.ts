import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, type TestContext, test } from "vitest";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import { limits } from "../../../src/base/limits.ts";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { isTerminal } from "../../../src/runtime/jobs/machine.ts";
import type { JobContext } from "../../../src/runtime/jobs/operation.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { setLimit } from "../../conformance/set-limit.ts";
import { freshNamespace } from "../../log/jetstream/support.ts";
import { natsForFile, startNats } from "../../support/nats.ts";
import { eventually, until } from "../../support/until.ts";
import { eventsIn, framesUntil, isDiagnostic } from "../support.ts";
import { cancelJob, controlledHandler, ended, eventsOfJob, getJob, listJobs, said, startJob } from "./support.ts";

const nats = natsForFile();
const lost = ["queued", "running", "execute", "execute_error", "failed"];

interface Server {
  readonly runtime: Runtime;
  /** Its own, which the test moves: NATS keeps the time of events. */
  readonly clock: ManualClock;
  readonly calls: readonly { readonly job: JobContext; finish(): void }[];
  readonly faults: readonly unknown[];
}

/** A server in this process. */
async function serverIn({ onTestFinished }: TestContext, namespace: string, url = nats().url): Promise<Server> {
  const log = await openJetStreamLog({ servers: [url], namespace });
  const clock = new ManualClock(Date.now());
  const faults: unknown[] = [];
  const runtime = new Runtime({ log, clock, onError: (error) => faults.push(error) });
  const { calls, handler } = controlledHandler();
  runtime.operation("work", { concurrency: 2 }, handler);
  onTestFinished(async () => {
    for (const { finish } of calls) finish();
    await runtime.close();
  });
  return { runtime, clock, calls, faults };
}

/** A server in a process of its own, with the system's clock. */
async function serverApart({ onTestFinished }: TestContext, namespace: string) {
  const child = spawn(process.execPath, [join(import.meta.dirname, "jetstream-server.ts"), nats().url, namespace], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const idsOf = (what: string) =>
    lines.flatMap((line) => (line.startsWith(`${what} `) ? [line.split(" ")[1] as string] : []));
  const command = (line: string) => child.stdin.write(`${line}\n`);
  await until(() => lines.includes("open"), "the server to open");
  return {
    child,
    lines,
    idsOf,
    command,
    /** Submits so many jobs, two of which run. */
    async submit(count: number): Promise<readonly string[]> {
      for (let i = 0; i < count; i++) command("submit");
      await until(() => idsOf("submitted").length === count, "the jobs to be submitted");
      await until(() => idsOf("began").length === Math.min(2, count), "the first jobs to run");
      return idsOf("submitted");
    },
  };
}

/**
 * Lets servers beat, as if time went by, until something holds. All are heard before the next beat: none goes ahead of the
 * others, however slow the machine is.
 */
async function beatUntil(servers: readonly Server[], holds: () => boolean, what: string): Promise<void> {
  const [{ runtime }] = servers as [Server];
  const beats = () => new Map([...runtime.log.stateEntries("server/")].map(([key, beat]) => [key, String(beat)]));
  await until(async () => {
    const before = beats();
    for (const { clock } of servers) clock.advance(limits.serverPresenceMs);
    const heard = () => [...beats()].filter(([key, beat]) => before.get(key) !== beat).length;
    // One whose beat failed beats again when its clock goes on.
    await until(() => heard() >= servers.length, "all to be heard", 10_000).catch(() => undefined);
    return holds();
  }, what);
}

async function knows({ runtime }: Server, ids: readonly string[]): Promise<void> {
  await eventually(() => ids.map((id) => getJob(runtime, id)));
}

describe.concurrent("jobs of several servers on one NATS", () => {
  test("a job that was submitted at one is known, watched, started and cancelled at another", async (context) => {
    const namespace = freshNamespace();
    const [a, b] = [await serverIn(context, namespace), await serverIn(context, namespace)];
    const { jobId, cursor } = await a.runtime.submit("work", {}, { deferred: true, workerId: "w" });
    const start = { case: "cursor" as const, value: cursor };
    const watched = framesUntil(b.runtime.watch({ jobId, start }), isDiagnostic("streamEnded"));
    await knows(b, [jobId]);
    expect(getJob(b.runtime, jobId)).toMatchObject({ state: JobState.QUEUED, deferred: true });
    await startJob(b.runtime, jobId);
    await until(() => a.calls.length === 1, "the job to run where it was submitted");
    await eventually(() => expect(getJob(b.runtime, jobId).state).toBe(JobState.RUNNING));
    expect((await cancelJob(b.runtime, jobId, "enough")).job).toMatchObject({ cancelRequested: true });
    await until(() => a.calls[0]?.job.signal.aborted === true, "the handler to be asked to end");
    // The ask has a key of its own, so that nothing is refused because of it.
    await a.calls[0]?.job.narrate("said", "the last");
    a.calls[0]?.finish();
    let isWatched = false;
    void watched.then(() => {
      isWatched = true;
    });
    await until(() => {
      // What comes close together is sent together, after a moment of this clock.
      b.clock.advance(limits.coalesceMs);
      return isWatched;
    }, "the watch to end");
    expect(said(eventsIn(await watched))).toEqual([
      "queued",
      "running",
      "execute",
      "said",
      "execute_cancelled",
      "cancelled",
    ]);
    expect(listJobs(b.runtime).jobs.map(({ jobId: id, state }) => [id, state])).toEqual([[jobId, JobState.CANCELLED]]);
    expect([...b.runtime.log.stateEntries("job-ask/")]).toEqual([]);
    expect(b.calls).toEqual([]);
    expect([a.faults, b.faults]).toEqual([[], []]);
  });

  test("a key makes one job, also where both are asked at once", async (context) => {
    const namespace = freshNamespace();
    const both = [await serverIn(context, namespace), await serverIn(context, namespace)];
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    const answers = await Promise.all(
      keys.flatMap((idempotencyKey) =>
        both.map(async ({ runtime }) => ({
          idempotencyKey,
          ...(await runtime.submit("work", {}, { idempotencyKey, deferred: true })),
        })),
      ),
    );
    const byKey = Map.groupBy(answers, ({ idempotencyKey }) => idempotencyKey);
    for (const ofKey of byKey.values()) {
      expect(new Set(ofKey.map(({ jobId }) => jobId)).size).toBe(1);
      expect(ofKey.map(({ duplicate }) => duplicate).sort()).toEqual([false, true]);
    }
    for (const { runtime } of both) expect(listJobs(runtime, { pageSize: 100 }).jobs).toHaveLength(keys.length);
  });

  test("of a server that is killed, what ran is ended once, and what waited runs at another", async (context) => {
    const namespace = freshNamespace();
    const a = await serverApart(context, namespace);
    const b = await serverIn(context, namespace);
    const jobs = await a.submit(4);
    await knows(b, jobs);
    a.child.kill("SIGKILL");
    await beatUntil([b], () => b.calls.length === 2, "the jobs that waited to run");
    for (const { finish } of b.calls) finish();
    for (const id of jobs) await ended(b.runtime, id);
    expect(jobs.map((id) => getJob(b.runtime, id).reason)).toEqual(["runtime_lost", "runtime_lost", "", ""]);
    for (const id of jobs.slice(0, 2)) expect(said(await eventsOfJob(b.runtime, id))).toEqual(lost);
  });

  test("a server that was stopped for too long finds its jobs ended, and is of use again", async (context) => {
    const namespace = freshNamespace();
    const a = await serverApart(context, namespace);
    const b = await serverIn(context, namespace);
    const jobs = await a.submit(3);
    await knows(b, jobs);
    a.child.kill("SIGSTOP");
    await beatUntil([b], () => b.calls.length === 1, "the job that waited to run");
    a.child.kill("SIGCONT");
    await until(() => a.idsOf("refused").length === 2, "its handlers to be aborted and refused");
    for (const id of jobs.slice(0, 2)) {
      expect(a.lines).toContain(`aborted ${id} The server that ran the job was lost.`);
      expect(a.lines).toContain(`refused ${id} job_ended`);
      a.command(`finish ${id}`);
    }
    a.command("submit");
    await until(() => a.idsOf("began").length === 3, "a new job to run there");
    const next = a.idsOf("submitted").at(-1) as string;
    expect(a.idsOf("began")).toEqual([...jobs.slice(0, 2), next]);
    await knows(b, [next]);
    expect(getJob(b.runtime, next).state).toBe(JobState.RUNNING);
    for (const id of jobs.slice(0, 2)) expect(said(await eventsOfJob(b.runtime, id))).toEqual(lost);
    a.command(`finish ${next}`);
    expect(await ended(b.runtime, next)).toMatchObject({ state: JobState.SUCCEEDED });
  });

  test("what waits at a server that closes runs at another at once", async (context) => {
    const namespace = freshNamespace();
    const [a, b] = [await serverIn(context, namespace), await serverIn(context, namespace)];
    const jobs: string[] = [];
    for (let i = 0; i < 4; i++) jobs.push((await a.runtime.submit("work")).jobId);
    await until(() => a.calls.length === 2, "the first jobs to run");
    const closing = a.runtime.close();
    for (const { finish } of a.calls) finish();
    await closing;
    await until(() => b.calls.length === 2, "the jobs that waited to run");
    for (const { finish } of b.calls) finish();
    for (const id of jobs) await ended(b.runtime, id);
    expect(jobs.map((id) => getJob(b.runtime, id).reason)).toEqual(["runtime_closed", "runtime_closed", "", ""]);
  });

  test("after all servers were killed, the next one goes on with what waited", async (context) => {
    const namespace = freshNamespace();
    const both = [await serverApart(context, namespace), await serverApart(context, namespace)];
    const jobs = (await Promise.all(both.map((server) => server.submit(3)))).flat();
    for (const { child } of both) child.kill("SIGKILL");
    const next = await serverIn(context, namespace);
    await beatUntil([next], () => next.calls.length === 2, "the jobs that waited to run");
    for (const { finish } of next.calls) finish();
    for (const id of jobs) await ended(next.runtime, id);
    const reasons = jobs.map((id) => getJob(next.runtime, id).reason);
    expect(reasons).toEqual(["runtime_lost", "runtime_lost", "", "runtime_lost", "runtime_lost", ""]);
  });

  test("three that find the same server lost end each of its jobs once", async (context) => {
    const namespace = freshNamespace();
    const a = await serverApart(context, namespace);
    const three = await Promise.all([1, 2, 3].map(() => serverIn(context, namespace)));
    const jobs = await a.submit(12);
    for (const server of three) await knows(server, jobs);
    a.child.kill("SIGKILL");
    const called = () => three.flatMap(({ calls }) => calls);
    const isOver = () => {
      for (const { finish } of called()) finish();
      return three.every(({ runtime }) => jobs.every((id) => isTerminal(getJob(runtime, id).state)));
    };
    await beatUntil(three, isOver, "all jobs to end");
    expect(
      called()
        .map(({ job }) => job.id)
        .sort(),
    ).toEqual([...jobs.slice(2)].sort());
    const [one] = three as [Server];
    for (const id of jobs) {
      const events = said(await eventsOfJob(one.runtime, id));
      const complete = ["queued", "running", "execute", "execute_complete", "succeeded"];
      expect(events).toEqual(jobs.indexOf(id) < 2 ? lost : complete);
    }
    expect(three.map(({ faults }) => faults)).toEqual([[], [], []]);
  });
});

test("nobody is lost because NATS was away", async (context) => {
  const own = await startNats();
  const namespace = freshNamespace();
  const [a, b] = [await serverIn(context, namespace, own.url), await serverIn(context, namespace, own.url)];
  const both = [a, b];
  const { jobId } = await a.runtime.submit("work");
  await knows(b, [jobId]);
  await until(() => a.calls.length === 1, "the job to run");
  await own.stop();
  await until(() => both.every(({ runtime }) => !runtime.health().available), "the outage to be noticed");
  await expect(cancelJob(b.runtime, jobId)).rejects.toMatchObject({ reason: "log_unavailable" });
  for (let missed = 0; missed < 10 * limits.serverLostBeats; missed++) {
    for (const { clock } of both) clock.advance(limits.serverPresenceMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
  // The end of a job waits for the log.
  a.calls[0]?.finish();
  await own.start();
  await until(() => both.every(({ runtime }) => runtime.health().available), "the log to be back");
  let beats = 0;
  await beatUntil(both, () => ++beats > 2 * limits.serverLostBeats, "many beats");
  await ended(b.runtime, jobId);
  expect(said(await eventsOfJob(b.runtime, jobId))).toEqual([
    "queued",
    "running",
    "execute",
    "execute_complete",
    "succeeded",
  ]);
  expect([...b.runtime.log.stateEntries("server/")]).toHaveLength(2);
});

test("a job's end stays behind what the job said, however much waits", async (context) => {
  setLimit("natsGroupsInFlight", 1);
  const { runtime, calls, faults } = await serverIn(context, freshNamespace());
  const { jobId } = await runtime.submit("work");
  await until(() => calls.length === 1, "the job to run");
  const data = new Uint8Array(60_000);
  const bulk = { workerId: "bulk", payload: { case: "custom" as const, value: { type: "test", data } } };
  const published = Array.from({ length: 50 }, () => runtime.publish([bulk]));
  const saying = Array.from({ length: 20 }, (_, i) => `said ${i}`);
  const narrated = saying.map((action) => calls[0]?.job.narrate(action, "before the end"));
  calls[0]?.finish();
  expect(said(await eventsOfJob(runtime, jobId))).toEqual([
    ...["queued", "running", "execute"],
    ...saying,
    ...["execute_complete", "succeeded"],
  ]);
  await Promise.all([...published, ...narrated]);
  expect(faults).toEqual([]);
});
