import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Event } from "../../../gen/tailrace/v1/event_pb.ts";
import { ListEventsRequestSchema } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import { MemoryLog } from "../../../src/log/memory/index.ts";
import { isTerminal } from "../../../src/runtime/jobs/machine.ts";
import type { JobContext } from "../../../src/runtime/jobs/operation.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { until } from "../../support/until.ts";
import { CrashableLog } from "./crashable-log.ts";
import { cancelJob, getJob, listJobs, startJob } from "./support.ts";

type Step =
  | { readonly kind: "submit"; readonly deferred: boolean; readonly key: number; readonly bounds: number }
  | { readonly kind: "start" | "cancel" | "narrate" | "finish" | "fail" | "publish" | "watch"; readonly which: number }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "turns"; readonly count: number }
  | { readonly kind: "crash" | "close" };

const which = fc.nat({ max: 30 });
const aStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("submit" as const),
      deferred: fc.boolean(),
      key: fc.nat({ max: 12 }),
      bounds: fc.nat({ max: 7 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom("start", "cancel", "narrate", "finish", "fail", "publish", "watch" as const),
      which,
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(1, 20, 40, 60) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("turns" as const), count: fc.nat({ max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("crash", "close" as const) }) },
);

/** One process after the other over one log, with everything that was asked of them. */
class World {
  readonly clock = new ManualClock();
  readonly #log = new MemoryLog({ runtimeId: "test", clock: this.clock });
  /** Jobs whose submit was answered. */
  readonly jobs: string[] = [];
  /** Jobs whose cancel was answered while they were queued, so that they have ended. */
  readonly cancelledInQueue = new Set<string>();
  /** Jobs whose handler was called. */
  readonly handled = new Set<string>();
  readonly #calls: { job: JobContext; settle(error?: Error): void }[] = [];
  readonly #asked: Promise<unknown>[] = [];
  readonly unexpected: unknown[] = [];
  #watches = new AbortController();
  #process = this.#boot();

  get runtime(): Runtime {
    return this.#process.runtime;
  }

  #boot() {
    const store = new CrashableLog(this.#log);
    const runtime = new Runtime({ log: store.seen, clock: this.clock, onError: () => undefined });
    runtime.operation("work", { concurrency: 2, queueDepth: 6, cancelGraceMs: 100 }, (_, job) => {
      if (this.handled.has(job.id)) this.unexpected.push(new Error("a job ran twice"));
      this.handled.add(job.id);
      return new Promise<void>((resolve, reject) => {
        this.#calls.push({ job, settle: (error) => (error === undefined ? resolve() : reject(error)) });
      });
    });
    return { store, runtime };
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case "submit":
        return this.#submit(step);
      case "advance":
        return this.clock.advance(step.ms);
      case "turns":
        return this.turns(step.count);
      case "crash":
        return this.#next();
      case "close":
        await this.#close();
        return this.#next();
      default:
        this.#one(step.kind, step.which);
    }
  }

  async turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  async #next(): Promise<void> {
    await this.#process.store.crash();
    this.#watches.abort();
    this.#watches = new AbortController();
    this.#process = this.#boot();
  }

  async #close(): Promise<void> {
    let closed = false;
    void this.runtime.close().then(() => {
      closed = true;
    });
    await until(async () => {
      this.clock.advance(100);
      await this.turns(2);
      return closed;
    }, "the runtime to close");
  }

  #submit({ deferred, key, bounds }: Step & { kind: "submit" }): void {
    const timeouts = {
      ...(bounds & 1 ? { totalMs: 80 } : {}),
      ...(bounds & 2 ? { idleMs: 50 } : {}),
      ...(bounds & 4 ? { queueMs: 40 } : {}),
    };
    const idempotencyKey = key === 0 ? "" : `k${key}`;
    this.#ask(
      this.runtime.submit("work", {}, { deferred, timeouts, idempotencyKey, workerId: "w" }).then(({ jobId }) => {
        if (!this.jobs.includes(jobId)) this.jobs.push(jobId);
      }),
    );
  }

  #one(kind: "start" | "cancel" | "narrate" | "finish" | "fail" | "publish" | "watch", which: number): void {
    const call = this.#calls[which % Math.max(1, this.#calls.length)];
    if (kind === "finish") call?.settle();
    if (kind === "fail") call?.settle(new Error("failed"));
    // Also from handlers of processes that are gone, and of jobs that have ended.
    if (kind === "narrate" && call !== undefined) this.#ask(call.job.narrate("said", "x"));
    const jobId = this.jobs[which % Math.max(1, this.jobs.length)];
    if (jobId === undefined) return;
    const { runtime } = this;
    if (kind === "start") this.#ask(startJob(runtime, jobId));
    if (kind === "publish") this.#ask(runtime.publish([{ jobId, payload: { case: "progress", value: { done: 1 } } }]));
    if (kind === "watch") void this.#watch(jobId);
    if (kind !== "cancel") return;
    const queued = getJob(runtime, jobId).state === JobState.QUEUED;
    this.#ask(
      cancelJob(runtime, jobId).then(({ job }) => {
        if (queued && job?.state === JobState.CANCELLED) this.cancelledInQueue.add(jobId);
      }),
    );
  }

  async #watch(jobId: string): Promise<void> {
    const { signal } = this.#watches;
    for await (const frame of this.runtime.watch({ jobId }, { signal })) if (frame.case === "diagnostic") continue;
  }

  /** What is refused is refused with a reason; anything else is a fault. */
  #ask(asked: Promise<unknown>): void {
    const expected = new Set(["job_ended", "limit_exceeded", "invalid_request", "job_not_found", "server_closing"]);
    this.#asked.push(
      asked.catch((error: { reason?: string }) => {
        if (error.reason === undefined || !expected.has(error.reason)) this.unexpected.push(error);
      }),
    );
  }

  /** Ends everything in a last process, and gives all events. */
  async finish(): Promise<Event[]> {
    await this.#next();
    const { runtime, clock } = this;
    await until(async () => {
      for (const { jobId, state } of listJobs(runtime, { pageSize: 1000 }).jobs) {
        if (!isTerminal(state)) await Promise.race([cancelJob(runtime, jobId), this.turns(5)]);
      }
      clock.advance(100);
      await this.turns(2);
      return listJobs(runtime, { pageSize: 1000 }).jobs.every(({ state }) => isTerminal(state));
    }, "all jobs to end");
    // Handlers that were let go may say something still.
    for (const { job, settle } of this.#calls) {
      this.#ask(job.narrate("late", "x"));
      settle();
    }
    await this.turns(5);
    this.#watches.abort();
    const page = await runtime.listEvents(create(ListEventsRequestSchema, { pageSize: 10_000 }));
    expect(page.complete).toBe(true);
    return page.events;
  }
}

function statesOf(events: readonly Event[]): JobState[] {
  return events.flatMap(({ payload }) => (payload.case === "jobStateChanged" ? [payload.value.state] : []));
}

test("no schedule of commands, handlers, time and crashes gives a second end, or an event after the end", async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(aStep, { minLength: 40, maxLength: 120 }), async (steps) => {
      const world = new World();
      for (const step of steps) await world.take(step);
      const events = await world.finish();
      expect(world.unexpected).toEqual([]);
      const byJob = Map.groupBy(
        events.filter(({ jobId }) => jobId !== ""),
        ({ jobId }) => jobId,
      );
      for (const jobId of world.jobs) expect(byJob.has(jobId)).toBe(true);
      for (const [jobId, ofJob] of byJob) {
        const states = statesOf(ofJob);
        const end = states.at(-1) as JobState;
        const ran = states.length === 3;
        expect(states).toEqual(ran ? [JobState.QUEUED, JobState.RUNNING, end] : [JobState.QUEUED, end]);
        expect(isTerminal(end)).toBe(true);
        // Nothing after the end, and its narration right before it.
        expect(ofJob.at(-1)?.payload.case).toBe("jobStateChanged");
        expect(ofJob.at(-2)?.payload).toMatchObject({ case: "narration" });
        expect(ofJob.at(-2)?.sequence).toBe((ofJob.at(-1)?.sequence ?? 0n) - 1n);
        expect(getJob(world.runtime, jobId)).toMatchObject({ state: end, events: BigInt(ofJob.length) });
        if (world.handled.has(jobId)) expect(ran).toBe(true);
        if (world.cancelledInQueue.has(jobId)) {
          expect(end).toBe(JobState.CANCELLED);
          if (!ran) expect(world.handled.has(jobId)).toBe(false);
        }
        const how = `${ran ? "ran" : "never ran"}: ${getJob(world.runtime, jobId).reason}`;
        seen.set(how, (seen.get(how) ?? 0) + 1);
      }
    }),
    { numRuns: 150 },
  );
  // The schedules reach what they are to prove.
  for (const kind of [
    "ran: ",
    "ran: handler_failed",
    "ran: cancel_requested",
    "ran: total_timeout",
    "ran: idle_timeout",
    "ran: runtime_restarted",
    "ran: runtime_closed",
    "never ran: cancel_requested",
    "never ran: queue_timeout",
  ]) {
    expect([...seen.keys()]).toContain(kind);
  }
});
