import type { JsonObject } from "@bufbuild/protobuf";
import type { Job } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { Clock, StopTimer } from "../../base/clock.ts";
import { hasReason } from "../../base/errors.ts";
import { isInstance } from "../../base/incident.ts";
import { boundsOf } from "../requests-jobs.ts";
import type { ActiveJob } from "./active.ts";
import { runInJob } from "./context.ts";
import type { OwnJob } from "./contexts.ts";
import { afterLong } from "./deadline.ts";
import * as ends from "./ends.ts";
import type { Operation } from "./lane.ts";
import type { JobLedger } from "./ledger.ts";
import { type JobEnd, type JobMachine, step } from "./machine.ts";
import { JobFailure } from "./operation.ts";
import { checkParams } from "./params.ts";

/** What a run needs of the runtime's jobs. */
export interface RunParts {
  readonly ledger: JobLedger;
  readonly clock: Clock;
  /** Never throws. */
  report(error: unknown): void;
  /** What a job that starts runs in. */
  enter(job: Job, run: JobRun): OwnJob;
}

/** One job from its start to the commit of its end. */
export class JobRun {
  readonly active: ActiveJob;
  readonly #operation: Operation;
  readonly #parts: RunParts;
  readonly #abort = new AbortController();
  /** Resolved once it is decided how the job ends. */
  readonly #decided = Promise.withResolvers<void>();
  readonly #timers: StopTimer[] = [];
  readonly #started = Promise.withResolvers<void>();
  /** Resolved once the handler has settled or was let go. */
  readonly #released = Promise.withResolvers<void>();
  #own: OwnJob | undefined;
  /** Whether the handler was called and has not settled. */
  #handling = false;
  #lastEventMs = 0;

  constructor(active: ActiveJob, operation: Operation, parts: RunParts) {
    this.active = active;
    this.#operation = operation;
    this.#parts = parts;
    // Most of the time nobody waits for it.
    this.#started.promise.catch(() => undefined);
  }

  /** Settles once it is committed that the job runs. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /**
   * Settles once the end is committed, or, where another server decides of the job, the handler has settled or was let go.
   * Rejects if the log can't be written to.
   */
  async execute(): Promise<void> {
    const { active } = this;
    const { entry } = active;
    const { ledger } = this.#parts;
    const starting = ledger.started(entry);
    this.#started.resolve(starting.then(() => undefined));
    const job = await starting;
    if (job === undefined || this.#is("overruled")) return;
    // A job that was cancelled meanwhile has no handler to wait for.
    if (active.machine.phase === "running" && active.machine.ending !== undefined) this.#input({ kind: "let_go" });
    else this.#handle(job);
    await this.#decided.promise;
    for (const stop of this.#timers) stop();
    if (active.machine.phase === "ended") await ledger.ended(entry, active.machine.end);
    // Only now, so that threads hear of everything that they published before the end.
    this.#own?.close();
    if (this.#is("overruled")) await this.#releaseHandler();
  }

  /** Asks the handler to end, and decides how the job ends, unless that is decided already. */
  abort(end: JobEnd): void {
    const before = this.active.machine;
    this.#input({ kind: "abort", end });
    if (this.active.machine === before) return;
    this.#abort.abort(ends.abortReason(end));
    if (this.#handling) this.#timers.push(this.#giveGrace());
  }

  /** Another server has ended the job: the handler is asked to end, and nothing more is said of the job here. */
  overrule(end: JobEnd | undefined): void {
    this.#input({ kind: "overrule", end });
    if (this.#is("overruled")) this.#abort.abort(ends.abortReason(end ?? ends.runtimeLost));
  }

  /** The job has had an event. */
  touch(): void {
    this.#lastEventMs = this.#parts.clock.monotonic();
  }

  #handle(job: Job): void {
    this.#armTimers(job);
    this.#handling = true;
    this.#own = this.#parts.enter(job, this);
    const { context } = this.#own;
    const handled = runInJob(context, async () => {
      const given = job.params ?? {};
      const params = this.active.inherited ? await this.#checkAgain(given) : given;
      return ends.succeeded(await this.#operation.handler(params as never, context));
    });
    handled.then(
      (end) => this.#settle(end),
      (error: unknown) => this.#settle(ends.failed(error), error),
    );
  }

  /** Asked anew each time, because it changes while others are waited for. */
  #is(phase: JobMachine["phase"]): boolean {
    return this.active.machine.phase === phase;
  }

  /** Lets the handler go that does not settle in time. */
  #giveGrace(): StopTimer {
    const { clock, report } = this.#parts;
    const { cancelGraceMs } = this.#operation;
    return afterLong(clock, cancelGraceMs, () => {
      this.#input({ kind: "let_go" });
      this.#released.resolve();
      const { id, operation } = this.active.entry;
      const how = `did not settle within ${cancelGraceMs} ms after its signal aborted, and was let go`;
      report(new Error(`The handler of job ${id} (${operation}) ${how}.`));
    });
  }

  /** The handler keeps its place among those that run for as long as it does so, within its grace. */
  async #releaseHandler(): Promise<void> {
    if (!this.#handling) return;
    const stop = this.#giveGrace();
    await this.#released.promise;
    stop();
  }

  /** What was good for the operation as it was declared then, or at another server, may not be here and now. */
  async #checkAgain(params: JsonObject): Promise<JsonObject> {
    try {
      return await checkParams(this.#operation.params, params);
    } catch (cause) {
      const why = hasReason(cause, "invalid_request") ? cause.message : "they could not be checked";
      const message = `The operation takes other parameters than when the job was submitted: ${why}`;
      throw new JobFailure(message, { reason: "invalid_params", cause });
    }
  }

  #settle(end: JobEnd, error?: unknown): void {
    const late = !this.#is("running");
    this.#handling = false;
    this.#input({ kind: "settle", end });
    this.#released.resolve();
    if (end.state !== JobState.FAILED || isInstance(error, JobFailure)) return;
    // What a handler throws because it was asked to end is how it ends.
    if (this.signal.aborted && isAbort(error, this.signal.reason)) return;
    const { id, operation } = this.active.entry;
    const when = late ? " after its job had ended" : "";
    this.#parts.report(new Error(`The handler of job ${id} (${operation}) failed${when}.`, { cause: error }));
  }

  #input(input: Parameters<typeof step>[1]): void {
    this.active.machine = step(this.active.machine, input);
    const { phase } = this.active.machine;
    if (phase === "ended" || phase === "overruled") this.#decided.resolve();
  }

  #armTimers(job: Job): void {
    const { clock } = this.#parts;
    const { totalMs, idleMs } = boundsOf(job.timeouts);
    if (totalMs !== undefined) {
      this.#timers.push(afterLong(clock, totalMs, () => this.abort(ends.totalTimeout(totalMs))));
    }
    if (idleMs !== undefined) {
      this.touch();
      this.#watchSilence(idleMs);
    }
  }

  /** One timer, however many events: it looks when the job last had one, and waits for the rest. */
  #watchSilence(idleMs: number): void {
    const leftMs = this.#lastEventMs + idleMs - this.#parts.clock.monotonic();
    if (leftMs <= 0) {
      this.abort(ends.idleTimeout(idleMs));
      return;
    }
    const stop = afterLong(this.#parts.clock, leftMs, () => {
      this.#timers.splice(this.#timers.indexOf(stop), 1);
      this.#watchSilence(idleMs);
    });
    this.#timers.push(stop);
  }
}

function isAbort(error: unknown, reason: unknown): boolean {
  if (error === reason) return true;
  try {
    return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
  } catch {
    // A proxy, or a getter that throws.
    return false;
  }
}
