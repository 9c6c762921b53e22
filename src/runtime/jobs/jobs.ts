import { create, type JsonObject } from "@bufbuild/protobuf";
import type { NewEvent } from "../../../gen/tailrace/v1/event_pb.ts";
import {
  type CancelJobRequest,
  type CancelJobResponse,
  CancelJobResponseSchema,
  type GetJobRequest,
  type GetJobResponse,
  type ListJobsRequest,
  type ListJobsResponse,
  type StartJobRequest,
  type StartJobResponse,
  StartJobResponseSchema,
  type SubmitJobRequest,
  type SubmitJobResponse,
} from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState, type JobStateChanged, JobStateChangedSchema } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { Clock } from "../../base/clock.ts";
import { invalidRequest, type JobOutcome, TailraceError } from "../../base/errors.ts";
import type { ReportError } from "../../base/incident.ts";
import { limits } from "../../base/limits.ts";
import type { CursorCodec } from "../../events/cursor.ts";
import type { EventBlock } from "../../log/block.ts";
import type { EventLog } from "../../log/contract.ts";
import { caughtUp } from "../decided.ts";
import type { EventPublisher } from "../publisher.ts";
import type { PublishReceipt } from "../publishing.ts";
import { checkId } from "../requests.ts";
import { checkCancelMessage } from "../requests-jobs.ts";
import { JobAccess } from "./access.ts";
import { type ContextParts, OwnJob } from "./contexts.ts";
import * as ends from "./ends.ts";
import { JobFollower } from "./follower.ts";
import { JobLedger } from "./ledger.ts";
import { isTerminal, step, type TerminalState } from "./machine.ts";
import { JobMemory, type JobMemoryOptions } from "./memory.ts";
import type { JobHandler, OperationOptions } from "./operation.ts";
import { operationOf } from "./operations.ts";
import { Presence } from "./presence.ts";
import { readHeader, readJob, recordKey } from "./record.ts";
import { Scheduler } from "./scheduler.ts";
import { Submissions } from "./submissions.ts";
import { type JobEntry, JobTable } from "./table.ts";
import { TakeOver } from "./take-over.ts";
import { JobViews } from "./views.ts";

/** What jobs need of their runtime. */
export interface JobsParts {
  readonly runtime: object;
  readonly log: EventLog;
  readonly cursors: CursorCodec;
  readonly clock: Clock;
  readonly publisher: EventPublisher;
  readonly memory: JobMemoryOptions;
  /** Never throws. */
  readonly report: ReportError;
  /** Publishes an event of a job. */
  publish(event: NewEvent): Promise<PublishReceipt>;
  /** Where the runtime is served; undefined: nowhere that it knows of. */
  advertised(): string | undefined;
  /** @throws TailraceError `server_closing` once the runtime closes. */
  requireOpen(): void;
}

/** The jobs of a runtime (docs/protocol.md, "Jobs"). */
export class Jobs {
  readonly #log: EventLog;
  readonly #clock: Clock;
  readonly #report: ReportError;
  readonly #table = new JobTable();
  readonly #presence: Presence;
  readonly #follower: JobFollower;
  readonly #takeOver: TakeOver;
  readonly #ledger: JobLedger;
  readonly #scheduler: Scheduler;
  readonly #memory: JobMemory;
  readonly #views: JobViews;
  readonly #submissions: Submissions;
  readonly #access: JobAccess;

  constructor(parts: JobsParts) {
    const { log, cursors, clock, publisher } = parts;
    this.#log = log;
    this.#clock = clock;
    this.#report = parts.report;
    this.#presence = new Presence(log, clock, parts.report);
    this.#ledger = new JobLedger(log, publisher, clock, this.#presence);
    this.#access = new JobAccess((workerId) => publisher.hasEnded(workerId));
    const report = this.#report;
    const contexts: ContextParts = { ...parts, access: this.#access, report };
    this.#scheduler = new Scheduler({
      ledger: this.#ledger,
      clock,
      report,
      enter: (job, run) => new OwnJob(job, run, contexts),
    });
    const common = { log, clock, ledger: this.#ledger, table: this.#table, scheduler: this.#scheduler };
    this.#follower = new JobFollower({ ...common, presence: this.#presence, report });
    this.#takeOver = new TakeOver({ ...common, presence: this.#presence, report });
    this.#memory = new JobMemory({ ...common, report }, parts.memory);
    this.#views = new JobViews(log, cursors, this.#ledger, this.#table);
    const requireOpen = () => parts.requireOpen();
    this.#submissions = new Submissions({
      ...common,
      memory: this.#memory,
      publisher,
      views: this.#views,
      requireOpen,
    });
  }

  /**
   * Takes up the jobs that there are. Alone with the log, those of the runtime before this one: what ran has failed, what
   * waited waits on. Beside others, those of servers that are gone.
   */
  recover(): void {
    const open = this.#follower.start();
    this.#presence.start({ gone: () => this.#takeOver.look(), beat: () => this.#takeOver.look() });
    if (this.#log.isShared) this.#takeOver.look();
    else {
      for (const entry of open) {
        const active = this.#follower.inherit(entry);
        if (entry.state === JobState.QUEUED) continue;
        active.machine = step(active.machine, { kind: "abort", end: ends.runtimeRestarted });
        this.#ledger.ended(entry, ends.runtimeRestarted).catch(this.#report);
      }
    }
    this.#memory.watch();
  }

  /** @throws TailraceError `invalid_request`. */
  operation<Params = JsonObject>(name: string, options: OperationOptions<Params>, handler: JobHandler<Params>): void {
    checkId(name, "operation");
    if (this.#scheduler.findLane(name)?.operation !== undefined) {
      throw invalidRequest("operation", `"${name}" is declared already`);
    }
    this.#scheduler.declare(name, operationOf(options, handler));
    this.#takeOver.look();
  }

  submit(request: SubmitJobRequest): Promise<SubmitJobResponse> {
    return this.#submissions.submit(request);
  }

  async start(request: StartJobRequest): Promise<StartJobResponse> {
    const entry = await this.#find(request.jobId);
    const { active } = entry;
    if (entry.state === JobState.QUEUED && active?.run === undefined) this.#requireLog();
    const waits = () => entry.active === undefined || entry.active.machine.phase === "queued";
    if (active?.machine.phase === "queued" && active.deferred && !this.#log.isShared) {
      this.#scheduler.enqueue(active);
      // What was answered holds, also after a crash.
      if (active.run !== undefined) await active.run.started;
      else await this.#ledger.undeferred(entry.id, waits);
    } else if (entry.state === JobState.QUEUED && waits() && active?.deferred !== false) {
      // The server that has the job, which may be this one, hears of it: what can't be written is not begun either.
      await this.#ledger.undeferred(entry.id, waits);
    }
    return create(StartJobResponseSchema, { job: this.#views.job(entry) });
  }

  async cancel(request: CancelJobRequest): Promise<CancelJobResponse> {
    const message = checkCancelMessage(request.message);
    const entry = await this.#find(request.jobId);
    if (!isTerminal(entry.state) && entry.active?.run === undefined) this.#requireLog();
    const end = ends.cancelled(message);
    // It may begin to run, or come to another server, while it is asked.
    for (let tries = 0; tries < limits.conflictTries && !isTerminal(entry.state); tries++) {
      const { active } = entry;
      if (active !== undefined) {
        const { phase } = active.machine;
        if (phase === "ended") break;
        if (phase === "queued" && this.#log.isShared) {
          // It waits on here until that is committed: what can't be written is not done either.
          await this.#ledger.cancelled(entry, end, ({ state }) => state === JobState.QUEUED && entry.active === active);
          continue;
        }
        active.cancelRequested = true;
        await this.#scheduler.abort(active, end);
        if (phase === "running") break;
      } else if (entry.state === JobState.QUEUED) {
        await this.#ledger.cancelled(
          entry,
          end,
          ({ state }) => state === JobState.QUEUED && entry.active === undefined,
        );
      } else {
        await this.#ledger.asked(entry.id, message);
        if (entry.active === undefined) break;
      }
    }
    return create(CancelJobResponseSchema, { job: this.#views.job(entry) });
  }

  get(request: GetJobRequest): GetJobResponse {
    return this.#views.get(this.#require(request.jobId), request);
  }

  list(request: ListJobsRequest): ListJobsResponse {
    return this.#views.list(request);
  }

  /** `AdmitJob`. @throws TailraceError `job_not_found`, `job_ended`. */
  admit(jobId: string, again: boolean): void {
    const entry = this.#require(jobId);
    const machine = entry.active?.machine;
    const decided = machine?.phase === "ended" && !again ? machine.end.state : entry.sentEnd;
    const state = decided ?? entry.state;
    if (!isTerminal(state)) return;
    throw new TailraceError(
      "job_ended",
      { jobId, state: outcomes[state] },
      `Job "${jobId}" has ended and takes no more events.`,
    );
  }

  /** The events, as those of the job that the token is for. @throws TailraceError `access_denied`, `invalid_request`. */
  asJob(token: string, events: readonly (NewEvent | Uint8Array)[]): NewEvent[] {
    return this.#access.asJob(token, events);
  }

  /** How a job ended, once that is committed, and the sequence of the event that says so. Of one that was forgotten, nothing. */
  end(jobId: string): { readonly ended: JobStateChanged; readonly sequence: number } | undefined {
    const record = this.#log.state(recordKey(jobId));
    if (record === undefined) return undefined;
    const { state, endSequence: sequence } = readHeader(record);
    if (!isTerminal(state)) return undefined;
    const { operation, reason, message, exitCode } = readJob(record);
    const value = { state, operation, reason, message, ...(exitCode === undefined ? {} : { exitCode }) };
    return { ended: create(JobStateChangedSchema, value), sequence };
  }

  /** Folds a committed block. */
  commit(block: EventBlock): void {
    if (this.#table.size === 0) return;
    this.#scheduler.heard(block);
    this.#memory.watch();
  }

  /** Figures of what is held, for those who watch over it. */
  get held(): { readonly jobs: number; readonly places: number; readonly running: number; readonly tokens: number } {
    return {
      jobs: this.#table.size,
      places: this.#table.places,
      running: this.#scheduler.running,
      tokens: this.#access.size,
    };
  }

  /** Starts nothing more. */
  beginClosing(): void {
    this.#scheduler.stop();
    this.#takeOver.stop();
  }

  /** Ends what runs, once its handlers have settled or were let go. */
  async close(): Promise<void> {
    this.#memory.stop();
    this.#takeOver.stop();
    this.#presence.stopLooking();
    // A log that has no room must not hold the end of the process.
    const stopTimer = this.#clock.after(limits.closeGraceMs, () => this.#ledger.stop());
    await this.#scheduler.close();
    stopTimer();
    this.#ledger.stop();
    await this.#presence.leave();
  }

  /** @throws TailraceError `log_unavailable`: what is asked of a job can't be written down now, and is not to wait for that. */
  #requireLog(): void {
    const health = this.#log.health();
    if (this.#log.isShared && !health.available) throw health.error;
  }

  /** The same, also of a job that another server has made a moment ago. */
  async #find(jobId: string): Promise<JobEntry> {
    if (this.#table.get(jobId) === undefined) await caughtUp(this.#log);
    return this.#require(jobId);
  }

  #require(jobId: string): JobEntry {
    checkId(jobId, "job_id");
    const entry = this.#table.get(jobId);
    if (entry !== undefined && entry.state !== JobState.UNSPECIFIED) return entry;
    throw new TailraceError(
      "job_not_found",
      { jobId },
      `There is no job "${jobId}", or it was forgotten after its end.`,
    );
  }
}

const outcomes: Readonly<Record<TerminalState, JobOutcome>> = {
  [JobState.SUCCEEDED]: "succeeded",
  [JobState.FAILED]: "failed",
  [JobState.CANCELLED]: "cancelled",
  [JobState.TIMED_OUT]: "timed_out",
};
