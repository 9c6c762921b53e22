import { setImmediate as nextTurn } from "node:timers/promises";
import type { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { CursorCodec } from "../../../src/events/cursor.ts";
import { decodeEvent } from "../../../src/events/stored.ts";
import { isTerminal } from "../../../src/runtime/jobs/machine.ts";
import type { SharedLog } from "../../support/shared-log.ts";
import { type ServerInMemory, ServersInMemory } from "./servers.ts";
import { cancelJob, listJobs, startJob } from "./support.ts";

export const servers = 3;
export const queueDepth = 4;

type Request =
  | { readonly kind: "submit"; readonly at: number; readonly deferred: boolean; readonly key: number }
  | { readonly kind: "start" | "cancel" | "race" | "publish"; readonly at: number; readonly which: number };
/** What happens to servers, or is asked of them. `at`: of which one. */
export type Step =
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
  | { readonly kind: "disconnect"; readonly at: number; readonly arriving: number; readonly isShort: boolean }
  | { readonly kind: "lastWord"; readonly at: number; readonly which: number }
  | { readonly kind: "late"; readonly which: number };

const refusals = new Set([
  "job_ended",
  "limit_exceeded",
  "invalid_request",
  "job_not_found",
  "server_closing",
  "log_unavailable",
]);

/** Whoever hears that the log is not there asks again. */
async function asksAgain(ask: () => Promise<unknown>): Promise<unknown> {
  return ask().catch((error: { reason?: string }) => {
    if (error.reason !== "log_unavailable") throw error;
    return ask();
  });
}

/** Several servers on one log, with everything that was asked of them. */
export class World {
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
        server.log.disconnect(step.arriving);
        if (step.isShort) server.log.reconnect();
        return;
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
      case "lastWord":
        this.#handle("narrate", server, step.which);
        await nextTurn();
        // Over a connection that is lost right then, and another one takes its place at once.
        server.log.disconnect();
        server.log.reconnect();
        return this.#handle("finish", server, step.which);
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
    const call = server.calls.at(-1 - (which % Math.max(1, server.calls.length)));
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
    const jobId = this.jobs.at(-1 - (step.which % Math.max(1, this.jobs.length)));
    if (jobId === undefined) return;
    if (step.kind === "race" || step.kind === "cancel") this.#ask(asksAgain(() => cancelJob(runtime, jobId)));
    if (step.kind === "race" || step.kind === "start") this.#ask(asksAgain(() => startJob(runtime, jobId)));
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
