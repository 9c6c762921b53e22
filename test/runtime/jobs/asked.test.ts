import { create } from "@bufbuild/protobuf";
import { expect, test, vi } from "vitest";
import { ListEventsRequestSchema } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import { TailraceError } from "../../../src/base/errors.ts";
import { limits } from "../../../src/base/limits.ts";
import type { AppendBatch, AppendResult, EventLog } from "../../../src/log/contract.ts";
import { MemoryLog } from "../../../src/log/memory/index.ts";
import { JobLedger } from "../../../src/runtime/jobs/ledger.ts";
import { Presence } from "../../../src/runtime/jobs/presence.ts";
import { newEntry } from "../../../src/runtime/jobs/table.ts";
import { until } from "../../support/until.ts";
import { ServersInMemory } from "./servers.ts";
import { cancelJob, controlledHandler, ended, getJob, jobRuntime, settled, startJob } from "./support.ts";

const away = new TailraceError(
  "log_unavailable",
  { sinceMs: 0, retryAfterMs: 0 },
  "NATS did not acknowledge the write.",
);
const fails = () => Promise.reject<AppendResult>(away);

/** A log that others share, as far as its server knows. `on.append`: what becomes of appends instead of being made. */
function sharedLog() {
  const clock = new ManualClock();
  const log = new MemoryLog({ runtimeId: "test", clock });
  const on: { append: ((batch: AppendBatch) => Promise<AppendResult>) | undefined } = { append: undefined };
  const seen = new Proxy<EventLog>(log, {
    get(target, name) {
      if (name === "isShared") return true;
      if (name === "append" && on.append !== undefined) return on.append;
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { clock, log: seen, on };
}

test("a cancel and a start that can't be written are told so, and are not carried out later", async () => {
  const { clock, log, on } = sharedLog();
  const { runtime } = jobRuntime({ clock, log });
  const { calls, handler } = controlledHandler();
  runtime.operation("work", { concurrency: 1 }, handler);
  await runtime.submit("work");
  await until(() => calls.length === 1, "the first handler");
  const queued = await runtime.submit("work");
  const deferred = await runtime.submit("work", {}, { deferred: true });
  on.append = fails;
  await expect(cancelJob(runtime, queued.jobId)).rejects.toMatchObject({ reason: "log_unavailable" });
  await expect(startJob(runtime, deferred.jobId)).rejects.toMatchObject({ reason: "log_unavailable" });
  on.append = undefined;
  for (let seconds = 0; seconds < 60; seconds++) {
    clock.advance(1_000);
    await settled();
  }
  expect(getJob(runtime, queued.jobId)).toMatchObject({ state: JobState.QUEUED, cancelRequested: false });
  expect(getJob(runtime, deferred.jobId)).toMatchObject({ state: JobState.QUEUED, deferred: true });
  // Asked again, both are done.
  expect((await cancelJob(runtime, queued.jobId)).job?.state).toBe(JobState.CANCELLED);
  await startJob(runtime, deferred.jobId);
  calls[0]?.finish();
  await until(() => calls.length === 2, "the deferred job's handler");
  expect(getJob(runtime, deferred.jobId).state).toBe(JobState.RUNNING);
  calls[1]?.finish();
  await ended(runtime, deferred.jobId);
  expect(runtime.jobsHeld).toMatchObject({ running: 0 });
});

test("a job whose cancel was written although nobody said so is cancelled, and its place is free", async () => {
  const { clock, log, on } = sharedLog();
  const { runtime } = jobRuntime({ clock, log });
  const { calls, handler } = controlledHandler();
  runtime.operation("work", { concurrency: 1, queueDepth: 1 }, handler);
  await runtime.submit("work");
  await until(() => calls.length === 1, "the first handler");
  const { jobId } = await runtime.submit("work");
  on.append = async (batch) => {
    on.append = undefined;
    await log.append(batch);
    throw away;
  };
  await expect(cancelJob(runtime, jobId)).rejects.toMatchObject({ reason: "log_unavailable" });
  expect((await ended(runtime, jobId)).state).toBe(JobState.CANCELLED);
  await runtime.submit("work");
});

test("what is asked of a job does not wait for ever for what this server owes it", async () => {
  const { clock, log, on } = sharedLog();
  const { runtime } = jobRuntime({ clock, log });
  runtime.operation("work", {}, async () => undefined);
  const { jobId } = await runtime.submit("work", {}, { deferred: true });
  const ledger = new JobLedger(
    log,
    { appendDecided: fails } as never,
    clock,
    new Presence(log, clock, () => undefined),
  );
  const end = { state: JobState.FAILED, reason: "r", message: "m" } as const;
  let isOver = false;
  const owed = ledger.ended(newEntry(jobId, "work", ""), end).finally(() => {
    isOver = true;
  });
  owed.catch(() => undefined);
  on.append = fails;
  const asked = ledger.undeferred(jobId, () => true).catch((error: unknown) => error);
  for (let ms = 0; ms < limits.jobAnswerMs; ms += 500) {
    await settled();
    clock.advance(500);
  }
  expect(await asked).toMatchObject({ reason: "log_unavailable", message: expect.stringContaining("takes too long") });
  expect(isOver).toBe(false);
  ledger.stop();
  await expect(owed).rejects.toMatchObject({ reason: "log_unavailable" });
  expect(getJob(runtime, jobId).deferred).toBe(true);
});

test("what is asked again while what was asked before is on its way waits for that, so that a job ends once", async () => {
  const world = new ServersInMemory();
  const server = world.start();
  await world.turn();
  const { runtime, log, clock, calls } = server;
  const jobId = await world.submit(server, "work", { deferred: true });
  log.mute(true);
  const cancelled = cancelJob(runtime, jobId);
  await world.turn();
  const first = startJob(runtime, jobId).catch((error: unknown) => error);
  await world.turn();
  clock.advance(limits.jobAnswerMs);
  expect(await first).toMatchObject({ reason: "log_unavailable" });
  const second = startJob(runtime, jobId);
  await world.turn();
  log.mute(false);
  await world.turn(50);
  expect((await cancelled).job?.state).toBe(JobState.CANCELLED);
  expect((await second).job?.state).toBe(JobState.CANCELLED);
  expect(calls).toEqual([]);
  const { events } = await runtime.listEvents(create(ListEventsRequestSchema, { jobId }));
  const states = events.flatMap(({ payload }) => (payload.case === "jobStateChanged" ? [payload.value.state] : []));
  expect(states).toEqual([JobState.QUEUED, JobState.CANCELLED]);
});

test.each(["its own", "another"])(
  "a job that has ended is told as it is at %s server while nothing can be written",
  async (at) => {
    const world = new ServersInMemory();
    const owner = world.start();
    const other = world.start();
    await world.turn();
    const jobId = await world.submit(owner, "work");
    await until(() => owner.calls.length === 1, "the handler");
    owner.calls[0]?.finish();
    await world.turn(50);
    const { runtime, log } = at === "another" ? other : owner;
    vi.spyOn(log, "health").mockReturnValue({ available: false, sinceMs: 0, reads: true, error: away });
    expect((await cancelJob(runtime, jobId)).job?.state).toBe(JobState.SUCCEEDED);
    expect((await startJob(runtime, jobId)).job?.state).toBe(JobState.SUCCEEDED);
  },
);

test("a cancel that is on its way to a job's server when the job ends leaves nothing behind", async () => {
  const world = new ServersInMemory();
  const [owner, other] = [world.start(), world.start()];
  const jobId = await world.submit(owner, "work");
  await world.turn();
  other.log.mute(true);
  const cancelled = cancelJob(other.runtime, jobId);
  await world.turn();
  expect(other.log.outgoing).toHaveLength(1);
  owner.calls[0]?.finish();
  await world.turn();
  other.log.mute(false);
  await world.turn();
  expect((await cancelled).job).toMatchObject({ state: JobState.SUCCEEDED, cancelRequested: false });
  for (const { log } of [owner, other]) expect([...log.stateEntries("job-ask/")]).toEqual([]);
});
