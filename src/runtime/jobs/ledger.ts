import { create } from "@bufbuild/protobuf";
import { type NewEvent, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import type { Job } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { Clock } from "../../base/clock.ts";
import { hasReason, TailraceError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { AppendBatch, EventLog, StatePut } from "../../log/contract.ts";
import { appendDecided } from "../decided.ts";
import { prepareBatch } from "../prepared-batch.ts";
import type { Decision, EventPublisher } from "../publisher.ts";
import type { PayloadInit } from "../worker.ts";
import { isTerminal, type JobEnd } from "./machine.ts";
import type { Presence } from "./presence.ts";
import {
  askPrefix,
  encodeKeyUse,
  encodeRecord,
  endedRecord,
  type KeyUse,
  keyPrefix,
  type RecordHeader,
  readHeader,
  readJob,
  recordKey,
  removal,
  submittedRecord,
} from "./record.ts";
import type { JobEntry } from "./table.ts";
import * as transitions from "./transitions.ts";

/** Whether a job may still be changed as its caller wants, asked again whenever another server was first. */
export type MayChange = (header: RecordHeader) => boolean;

/**
 * Why a job is changed. What this server owes (the end of a job that ran here) is tried until it is written. What someone has
 * asked for is tried once where others share the log, since nobody may be left who waits for it.
 */
type ChangeReason = "owed" | "asked";

/** Writes what becomes of jobs: each state and the record that says so in one append. */
export class JobLedger {
  readonly #log: EventLog;
  readonly #publisher: EventPublisher;
  readonly #clock: Clock;
  readonly #self: Presence;
  /** The last change of a job that is on its way: the next one is decided from what that leaves. */
  readonly #changing = new Map<string, Promise<unknown>>();
  readonly #stopped = new AbortController();

  constructor(log: EventLog, publisher: EventPublisher, clock: Clock, self: Presence) {
    this.#log = log;
    this.#publisher = publisher;
    this.#clock = clock;
    this.#self = self;
  }

  /** The committed record of a job. @throws Error if there is none: the caller asks for jobs that were committed. */
  record(jobId: string): { readonly header: RecordHeader; readonly job: Job } {
    const record = this.#log.state(recordKey(jobId));
    if (record === undefined) throw new Error(`the log has no record of job ${jobId}`);
    return { header: readHeader(record), job: readJob(record) };
  }

  /** Commits a new job while it is wanted, and says whether it was. @throws TailraceError as `EventLog.append`. */
  async submitted(job: Job, key: string, use: KeyUse | undefined, isWanted: () => boolean): Promise<boolean> {
    const unknown = { beforeSequence: 0, beforeOrdinal: 0, submitTimeMs: 0, owner: this.#self.id };
    const appended = await this.#publisher.appendDecided(() => {
      if (!isWanted()) return undefined;
      const state = new Map<string, StatePut>();
      state.set(recordKey(job.jobId), submittedRecord(headerOf(JobState.QUEUED, unknown), job));
      if (use !== undefined) state.set(`${keyPrefix}${key}`, encodeKeyUse(use));
      return this.#decision(job, transitions.submitted(job), state, this.#self.require(state));
    });
    return appended !== undefined;
  }

  /** Commits that a deferred job may start, as long as it waits: the record of a start says so too, and must stand. */
  undeferred(jobId: string, waits: () => boolean): Promise<unknown> {
    return this.#put("asked", jobId, ({ header, job }) => {
      if (!waits() || header.state !== JobState.QUEUED || !job.deferred) return undefined;
      job.deferred = false;
      return { state: new Map([[recordKey(jobId), encodeRecord(header, job)]]) };
    });
  }

  /** Commits that a job waits at this server from now on, whose own is gone. */
  adopted(jobId: string, mayChange: MayChange, fence: readonly string[]): Promise<unknown> {
    return this.#put("owed", jobId, ({ header, job }) => {
      if (header.state !== JobState.QUEUED || !mayChange(header)) return undefined;
      const state = new Map<string, StatePut>();
      state.set(recordKey(jobId), encodeRecord({ ...header, owner: this.#self.id }, job));
      return { state, fence: [...fence, ...this.#self.require(state)] };
    });
  }

  /** Commits that the server which runs a job is to cancel it. The job's end takes this back, also if it comes first. */
  asked(jobId: string, message: string): Promise<unknown> {
    return this.#put("asked", jobId, ({ header }) => {
      const key = `${askPrefix}${jobId}`;
      if (header.state !== JobState.RUNNING || this.#log.state(key) !== undefined) return undefined;
      return { state: new Map([[key, new TextEncoder().encode(message)]]) };
    });
  }

  /** Commits that a job runs, and gives the job. Undefined: another server decides of it. */
  started(entry: JobEntry): Promise<Job | undefined> {
    return this.#change("owed", entry.id, async () => {
      let started: Job | undefined;
      await this.#publisher.appendDecided(() => {
        started = undefined;
        const { header, job } = this.record(entry.id);
        if (isTerminal(header.state) || !this.#self.owns(header.owner)) return undefined;
        started = job;
        // A try of this server before, of which it was not known what became.
        if (this.#log.isShared && header.state === JobState.RUNNING) return undefined;
        const events = transitions.started(job, this.#clock.now());
        const record = encodeRecord(headerOf(JobState.RUNNING, { ...header, owner: this.#self.id }), job);
        const state = new Map<string, StatePut>([[recordKey(entry.id), record]]);
        return this.#decision(job, events, state, this.#self.require(state));
      });
      return started;
    });
  }

  /**
   * Commits how a job ended, unless it has ended or `mayEnd` (default: whether it is this server's) says no. Whoever calls
   * has made sure that nothing of the job is appended after this.
   */
  ended(entry: JobEntry, end: JobEnd, mayEnd?: MayChange, fence: readonly string[] = []): Promise<unknown> {
    return this.#end("owed", entry, end, mayEnd ?? (({ owner }) => this.#self.owns(owner)), fence);
  }

  /** Commits that a job was ended as someone asked, if `mayEnd` says that it may be. */
  cancelled(entry: JobEntry, end: JobEnd, mayEnd: MayChange): Promise<unknown> {
    return this.#end("asked", entry, end, mayEnd, []);
  }

  /** Takes jobs out of the log: their records, keys (asked for at every try), and what it counts of them. */
  async forgotten(entries: readonly JobEntry[], keyOf: (entry: JobEntry) => string): Promise<void> {
    await this.#insist(() =>
      appendDecided(this.#log, () => {
        // Another server may have forgotten some.
        const left = entries.filter(({ id }) => this.#log.state(recordKey(id)) !== undefined);
        if (left.length === 0) return undefined;
        const state = new Map(left.flatMap((entry) => removal(entry.id, keyOf(entry))));
        return { events: [], state, forgetJobs: left.map(({ id }) => id) };
      }),
    );
  }

  /** Stops trying again. */
  stop(): void {
    this.#stopped.abort();
  }

  #end(why: ChangeReason, entry: JobEntry, end: JobEnd, may: MayChange, fence: readonly string[]): Promise<unknown> {
    return this.#change(why, entry.id, () =>
      this.#publisher.appendDecided(() => {
        const record = this.#log.state(recordKey(entry.id));
        const header = record === undefined ? undefined : readHeader(record);
        if (record === undefined || header === undefined || isTerminal(header.state) || !may(header)) return undefined;
        const job = readJob(record);
        const events = transitions.ended(job, end, this.#clock.now());
        const put = endedRecord(headerOf(end.state, header), job);
        const state = new Map<string, StatePut>([[recordKey(entry.id), put]]);
        // Also where there is none: one that is on its way is refused then.
        if (this.#log.isShared) state.set(`${askPrefix}${entry.id}`, null);
        const decision = this.#decision(job, events, state, fence);
        // From here on nothing of the job may follow, not even what was refused meanwhile and is made again.
        const onSend = () => {
          entry.sentEnd = end.state;
        };
        return { ...decision, onSend };
      }),
    ).finally(() => {
      entry.sentEnd = undefined;
    });
  }

  #put(
    why: ChangeReason,
    jobId: string,
    decide: (record: { header: RecordHeader; job: Job }) => Omit<AppendBatch, "events"> | undefined,
  ) {
    return this.#change(why, jobId, () =>
      appendDecided(this.#log, () => {
        if (this.#log.state(recordKey(jobId)) === undefined) return undefined;
        const batch = decide(this.record(jobId));
        return batch === undefined ? undefined : { events: [], ...batch };
      }),
    );
  }

  #decision(
    job: Job,
    payloads: readonly PayloadInit[],
    state: ReadonlyMap<string, StatePut>,
    fence: readonly string[],
  ): Decision {
    const { jobId, correlationId } = job;
    // A worker that has ended takes nothing more, and a job must be able to end all the same.
    const workerId = this.#publisher.hasEnded(job.workerId) ? "" : job.workerId;
    const events: NewEvent[] = payloads.map((payload) =>
      create(NewEventSchema, { jobId, workerId, correlationId, payload }),
    );
    return { batch: prepareBatch(events, "runtime"), state, fence };
  }

  /** One change of a job at a time: what is on its way from this server conflicts with nothing that this server appends. */
  #change<T>(why: ChangeReason, jobId: string, change: () => Promise<T>): Promise<T> {
    const before = this.#changing.get(jobId);
    // Alone with a log there is only room to wait for, and nobody else who could be asked.
    const isOwed = why === "owed" || !this.#log.isShared;
    const make = isOwed ? () => this.#insist(change) : change;
    const changing = before === undefined ? make() : (isOwed ? before : this.#soon(before)).then(make);
    const over = Promise.allSettled([before, changing]);
    this.#changing.set(jobId, over);
    // Not when this one is: who asked may have given up what it waited for, and that is on its way still.
    void over.then(() => {
      if (this.#changing.get(jobId) === over) this.#changing.delete(jobId);
    });
    return changing;
  }

  /** Settles with what is on its way. @throws TailraceError `log_unavailable` if that takes too long for whoever asks. */
  #soon(before: Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const sinceMs = this.#clock.now();
      const stop = this.#clock.after(limits.jobAnswerMs, () => {
        const details = { sinceMs, retryAfterMs: limits.jobRetryAfterMs };
        const message = "What is being written of the job takes too long. Nothing was changed; try again.";
        reject(new TailraceError("log_unavailable", details, message));
      });
      const over = () => {
        stop();
        resolve(undefined);
      };
      before.then(over, over);
    });
  }

  /**
   * Tries again while the log has no room: what must be said can't be dropped because others say much. And while a log that
   * others keep is away: it will be there again, and those others count on this server.
   */
  async #insist<T>(append: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await append();
      } catch (error) {
        if (!this.#isPassing(error) || this.#stopped.signal.aborted) throw error;
        await this.#pause(hasReason(error, "limit_exceeded") ? error.details.retryAfterMs : undefined);
      }
    }
  }

  #isPassing(error: unknown): boolean {
    if (hasReason(error, "limit_exceeded")) return true;
    if (!this.#log.isShared || !hasReason(error, "log_unavailable")) return false;
    const health = this.#log.health();
    return health.available || health.ended !== true;
  }

  #pause(ms: number = limits.jobRetryAfterMs): Promise<void> {
    const { signal } = this.#stopped;
    return new Promise((resolve) => {
      const done = () => {
        stop();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const stop = this.#clock.after(ms, done);
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

function headerOf(
  state: JobState,
  before: Pick<RecordHeader, "beforeSequence" | "beforeOrdinal" | "submitTimeMs" | "owner">,
): RecordHeader {
  const { beforeSequence, beforeOrdinal, submitTimeMs, owner } = before;
  return { state, beforeSequence, beforeOrdinal, submitTimeMs, endSequence: 0, endTimeMs: 0, owner };
}
