import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { EventKind } from "../../../gen/tailrace/v1/event_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { CursorCodec } from "../../../src/events/cursor.ts";
import { decodeEvent } from "../../../src/events/stored.ts";
import { isTerminal } from "../../../src/runtime/jobs/machine.ts";
import type { SharedLog } from "../../support/shared-log.ts";
import { processTimeStandsStill, type ServerInMemory, ServersInMemory } from "./servers.ts";
import { cancelJob, getJob, listJobs, startJob } from "./support.ts";

const servers = 3;
const queueDepth = 4;

type Request =
  | { readonly kind: "submit"; readonly at: number; readonly deferred: boolean; readonly key: number }
  | { readonly kind: "start" | "cancel" | "publish"; readonly at: number; readonly which: number };
type Step =
  | Request
  | { readonly kind: "narrate" | "finish" | "fail"; readonly at: number; readonly which: number }
  | { readonly kind: "advance"; readonly ms: number }
  | { readonly kind: "turn"; readonly rounds: number }
  | {
      readonly kind:
        | "pause"
        | "resume"
        | "mute"
        | "deafen"
        | "send"
        | "reconnect"
        | "crash"
        | "close"
        | "keep"
        | "endWorker";
      readonly at: number;
    }
  | { readonly kind: "disconnect"; readonly at: number; readonly arriving: number }
  | { readonly kind: "late"; readonly which: number };

const at = fc.nat({ max: servers - 1 });
const which = fc.nat({ max: 20 });
const aStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("submit" as const), at, deferred: fc.boolean(), key: fc.nat({ max: 6 }) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom("start", "cancel", "publish" as const), at, which }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom("narrate", "finish", "fail" as const), at, which }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(500, 3_000, 9_000, 15_000) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("turn" as const), rounds: fc.nat({ max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("pause", "resume" as const), at }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("mute", "deafen", "send" as const), at }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("disconnect" as const), at, arriving: fc.nat({ max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reconnect" as const), at }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("late" as const), which: fc.nat({ max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("crash", "close", "keep", "endWorker" as const), at }) },
);

const refusals = new Set([
  "job_ended",
  "limit_exceeded",
  "invalid_request",
  "job_not_found",
  "server_closing",
  "log_unavailable",
]);

/** Several servers on one log, with everything that was asked of them. */
class World {
  readonly all = new ServersInMemory({ concurrency: 2, queueDepth, cancelGraceMs: 1_000 });
  /** Hears everything, and does nothing. */
  readonly witness: SharedLog = this.all.stream.open();
  readonly said: { jobId: string; kind: number; state: JobState | undefined }[] = [];
  readonly jobs: string[] = [];
  /** By key, the jobs that were answered. */
  readonly keys = new Map<string, Set<string>>();
  readonly unexpected: unknown[] = [];
  readonly #running: ServerInMemory[] = [];
  #submitted = 0;
  readonly #handled = new Map<string, ServerInMemory>();

  constructor() {
    const cursors = new CursorCodec("test", 1n);
    this.witness.subscribe((block) => {
      for (let i = 0; i < block.length; i++) {
        const { jobId, payload } = decodeEvent(block, cursors, i);
        const state = payload.case === "jobStateChanged" ? payload.value.state : undefined;
        if (jobId !== "") this.said.push({ jobId, kind: block.kinds[i] as number, state });
      }
    });
    for (let i = 0; i < servers; i++) this.#running.push(this.all.start());
  }

  async take(step: Step): Promise<void> {
    if (step.kind === "advance") return this.all.advance(step.ms);
    if (step.kind === "turn") return this.all.turn(step.rounds);
    if (step.kind === "late") return this.#late(step.which);
    const server = this.#running[step.at] as ServerInMemory;
    switch (step.kind) {
      case "pause":
        return server.pause();
      case "resume":
        return this.#resume(server);
      case "mute":
        return server.log.mute(true);
      case "deafen":
        return server.log.deafen(true);
      case "send":
        return server.log.send();
      case "disconnect":
        return server.log.disconnect(step.arriving);
      case "reconnect":
        return server.log.reconnect();
      case "endWorker":
        if (server.isRunning)
          this.#ask(server.runtime.worker(this.#worker()).publish({ case: "workerEnded", value: {} }));
        return;
      case "keep":
        return server.log.takeOver();
      case "crash":
        server.crash();
        this.#running[step.at] = this.all.start();
        return;
      case "close":
        this.#resume(server);
        return this.#close(step.at);
      case "narrate":
      case "finish":
      case "fail":
        // Handlers go on, whatever becomes of their server.
        return this.#handle(step.kind, server, step.which);
      default:
        // Nobody gets through to a server that stands still.
        if (server.isRunning) this.#request(step, server);
    }
  }

  #handle(kind: "narrate" | "finish" | "fail", server: ServerInMemory, which: number): void {
    const call = server.calls[which % Math.max(1, server.calls.length)];
    if (call === undefined) return;
    if (kind === "finish") call.finish();
    else if (kind === "fail") call.fail(new Error("failed"));
    else this.#ask(call.job.narrate("said", "x"));
  }

  #request(step: Request, { runtime }: ServerInMemory): void {
    if (step.kind === "submit") {
      const { deferred } = step;
      this.#submitted++;
      const workerId = this.#worker();
      const idempotencyKey = step.key === 0 ? "" : `k${step.key}`;
      this.#ask(
        runtime.submit("work", { deferred }, { deferred, idempotencyKey, workerId }).then(({ jobId }) => {
          if (!this.jobs.includes(jobId)) this.jobs.push(jobId);
          if (idempotencyKey !== "")
            this.keys.set(idempotencyKey, (this.keys.get(idempotencyKey) ?? new Set()).add(jobId));
        }),
      );
      return;
    }
    const jobId = this.jobs[step.which % Math.max(1, this.jobs.length)];
    if (jobId === undefined) return;
    if (step.kind === "start") this.#ask(startJob(runtime, jobId));
    if (step.kind === "cancel") this.#ask(cancelJob(runtime, jobId));
    if (step.kind === "publish")
      this.#ask(runtime.publish([{ jobId, payload: { case: "progress", value: { done: 1 } } }]));
  }

  /** Another one after a while, because one that has ended takes nothing more. */
  #worker(): string {
    return `w${Math.floor(this.#submitted / 4)}`;
  }

  /** Something arrives that was on its way over a connection that was lost, also of a server that is gone. */
  #late(which: number): void {
    const { servers } = this.all;
    servers[servers.length - 1 - (which % servers.length)]?.log.sendLate(1);
  }

  #resume(server: ServerInMemory): void {
    server.log.mute(false);
    server.log.deafen(false);
    server.log.reconnect();
    server.resume();
  }

  async #close(at: number): Promise<void> {
    const server = this.#running[at] as ServerInMemory;
    let closed = false;
    void server.runtime.close().then(() => {
      closed = true;
    });
    // Handlers are let go after their grace, also those of others that stand still meanwhile.
    for (let i = 0; i < 40 && !closed; i++) {
      server.clock.advance(500);
      await this.all.passLooks(500);
      await this.all.turn(2);
    }
    if (!closed) this.unexpected.push(new Error("a server did not close"));
    server.crash();
    this.#running[at] = this.all.start();
  }

  /** What is refused is refused with a reason; anything else is a fault. */
  #ask(asked: Promise<unknown>): void {
    asked.catch((error: { reason?: string }) => {
      if (error.reason === undefined || !refusals.has(error.reason)) this.unexpected.push(error);
    });
  }

  /** Lets everyone go on, and ends every job. */
  async finish(): Promise<readonly ServerInMemory[]> {
    for (const server of this.#running) this.#resume(server);
    await this.all.lose();
    const [first] = this.#running as [ServerInMemory];
    for (let i = 0; i < 50; i++) {
      const open = listJobs(first.runtime, { pageSize: 1000 }).jobs.filter(({ state }) => !isTerminal(state));
      if (open.length === 0) break;
      for (const { jobId } of open) this.#ask(cancelJob(first.runtime, jobId));
      await this.all.advance(3_000);
    }
    for (const { calls } of this.all.servers) {
      for (const { job, finish } of calls) {
        const before = this.#handled.get(job.id);
        if (before !== undefined) this.unexpected.push(new Error("a job ran twice"));
        finish();
        this.#handled.set(job.id, first);
      }
    }
    await this.all.advance(3_000);
    // What comes this late changes nothing any more, but that a server which is gone may be taken for one that is there.
    for (const { log } of this.all.servers) log.sendLate();
    await this.all.lose();
    return this.#running;
  }
}

test("no schedule of several servers gives a second end, an event after the end, a second run or a lost place", async () => {
  const seen = new Set<string>();
  processTimeStandsStill();
  await fc.assert(
    fc.asyncProperty(fc.array(aStep, { minLength: 30, maxLength: 90 }), async (steps) => {
      // Of servers of the run before.
      vi.clearAllTimers();
      const world = new World();
      for (const step of steps) await world.take(step);
      const running = await world.finish();
      expect(world.unexpected).toEqual([]);
      for (const jobs of world.keys.values()) expect(jobs.size).toBe(1);
      const byJob = Map.groupBy(world.said, ({ jobId }) => jobId);
      for (const jobId of world.jobs) expect(byJob.has(jobId)).toBe(true);
      for (const [jobId, ofJob] of byJob) {
        const states = ofJob.flatMap(({ state }) => (state === undefined ? [] : [state]));
        const end = states.at(-1) as JobState;
        const ran = states.length === 3;
        expect(states).toEqual(ran ? [JobState.QUEUED, JobState.RUNNING, end] : [JobState.QUEUED, end]);
        expect(isTerminal(end)).toBe(true);
        // Nothing after the end, and its narration right before it.
        expect(ofJob.slice(-2).map(({ kind }) => kind)).toEqual([EventKind.NARRATION, EventKind.JOB_STATE_CHANGED]);
        for (const { runtime } of running) {
          const { state, reason } = getJob(runtime, jobId);
          expect(state).toBe(end);
          seen.add(`${ran ? "ran" : "never ran"}: ${reason}`);
        }
      }
      for (const prefix of ["job-ask/"]) expect([...world.witness.stateEntries(prefix)]).toEqual([]);
      expect([...world.witness.stateEntries("server/")]).toHaveLength(servers);
      // Every place is free again: so many fit, and no more.
      for (const { runtime } of running) {
        expect(runtime.jobsHeld).toMatchObject({ running: 0, tokens: 0 });
        await world.all.turn();
        const submitted = Array.from({ length: queueDepth + 1 }, () =>
          // Not by `rejects`: that keeps what it was given, and with it this world, until the test is over.
          runtime.submit("work", {}, { deferred: true }).then(
            () => "fits",
            ({ reason }: { reason?: string }) => reason,
          ),
        );
        await world.all.turn();
        expect(await Promise.all(submitted)).toEqual([...Array(queueDepth).fill("fits"), "limit_exceeded"]);
      }
    }),
    { numRuns: 150 },
  );
  // The schedules reach what they are to prove.
  for (const kind of [
    "ran: ",
    "ran: handler_failed",
    "ran: cancel_requested",
    "ran: runtime_lost",
    "ran: runtime_closed",
  ]) {
    expect([...seen]).toContain(kind);
  }
  expect([...seen]).toContain("never ran: cancel_requested");
});
