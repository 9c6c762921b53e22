import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type NewEvent, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import type { Job } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { Clock } from "../../base/clock.ts";
import { hasReason } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import type { AppendResult, EventLog, StatePut } from "../../log/contract.ts";
import type { EventPublisher } from "../publisher.ts";
import type { PayloadInit } from "../worker.ts";
import type { JobEnd, TerminalState } from "./machine.ts";
import { narrationPayload } from "./narration.ts";
import type { LevelName } from "./operation.ts";
import {
  encodeKeyUse,
  encodeRecord,
  endedRecord,
  type KeyUse,
  keyPrefix,
  type RecordHeader,
  readHeader,
  readJob,
  recordPrefix,
  removal,
  submittedRecord,
} from "./record.ts";
import type { JobEntry } from "./table.ts";

const endNarrations: Readonly<Record<TerminalState, { readonly action: string; readonly level: LevelName }>> = {
  [JobState.SUCCEEDED]: { action: "execute_complete", level: "info" },
  [JobState.FAILED]: { action: "execute_error", level: "error" },
  [JobState.CANCELLED]: { action: "execute_cancelled", level: "warn" },
  [JobState.TIMED_OUT]: { action: "execute_timeout", level: "error" },
};

/** Writes what becomes of jobs: each state and the record that says so in one append. */
export class JobLedger {
  readonly #log: EventLog;
  readonly #publisher: EventPublisher;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();

  constructor(log: EventLog, publisher: EventPublisher, clock: Clock) {
    this.#log = log;
    this.#publisher = publisher;
    this.#clock = clock;
  }

  /** The committed record of a job. @throws Error if there is none: the caller asks for jobs that were committed. */
  record(jobId: string): { readonly header: RecordHeader; readonly job: Job } {
    const record = this.#log.state(`${recordPrefix}${jobId}`);
    if (record === undefined) throw new Error(`the log has no record of job ${jobId}`);
    return { header: readHeader(record), job: readJob(record) };
  }

  /** Commits a new job. @throws TailraceError as `EventLog.append`. */
  submitted(job: Job, key: string, use: KeyUse | undefined): Promise<AppendResult> {
    const state = new Map<string, StatePut>();
    const unknown = { beforeSequence: 0, beforeOrdinal: 0 };
    state.set(recordKey(job), submittedRecord(headerOf(JobState.QUEUED, unknown), job));
    if (use !== undefined) state.set(`${keyPrefix}${key}`, encodeKeyUse(use));
    return this.#append(job, [stateChanged(job, JobState.QUEUED)], state);
  }

  /** Commits that a deferred job may start, as long as it waits: the record of a start says so too, and must stand. */
  async undeferred(entry: JobEntry, waits: () => boolean): Promise<void> {
    await this.#insist(async () => {
      if (!waits()) return;
      const { header, job } = this.record(entry.id);
      job.deferred = false;
      await this.#log.append({ events: [], state: new Map([[recordKey(job), encodeRecord(header, job)]]) });
    });
  }

  /** Commits that a job runs, and gives the job. */
  async started(entry: JobEntry): Promise<Job> {
    const { header, job } = this.record(entry.id);
    job.state = JobState.RUNNING;
    job.deferred = false;
    job.startTime = timestampFromMs(this.#clock.now());
    const events = [
      stateChanged(job, JobState.RUNNING),
      narrationPayload("execute", `Job ${job.operation} started.`, { target: job.operation }),
    ];
    const record = encodeRecord(headerOf(JobState.RUNNING, header), job);
    await this.#insist(() => this.#append(job, events, new Map([[recordKey(job), record]])));
    return job;
  }

  /** Commits how a job ended. Whoever calls has made sure that nothing of the job is appended after this. */
  async ended(entry: JobEntry, end: JobEnd): Promise<void> {
    const { header, job } = this.record(entry.id);
    const endTimeMs = this.#clock.now();
    job.state = end.state;
    job.reason = cut(end.reason, limits.maxJobReasonBytes);
    job.message = cut(end.message, limits.maxJobMessageBytes);
    if (end.exitCode !== undefined) job.exitCode = end.exitCode;
    job.deferred = false;
    job.endTime = timestampFromMs(endTimeMs);
    const { action, level } = endNarrations[end.state];
    const startTimeMs = job.startTime === undefined ? undefined : timestampMs(job.startTime);
    const events = [
      narrationPayload(action, job.message, {
        level,
        target: job.operation,
        ...(end.state === JobState.SUCCEEDED ? {} : { errorKind: job.reason }),
        ...(startTimeMs === undefined ? {} : { durationMs: Math.max(0, endTimeMs - startTimeMs) }),
      }),
      stateChanged(job, end.state),
    ];
    const put = endedRecord({ ...headerOf(end.state, header), endTimeMs }, job);
    await this.#insist(() => this.#append(job, events, new Map([[recordKey(job), put]])));
  }

  /** Takes jobs out of the log: their records, keys (asked for at every try), and what it counts of them. */
  async forgotten(entries: readonly JobEntry[], keyOf: (entry: JobEntry) => string): Promise<void> {
    const forgetJobs = entries.map(({ id }) => id);
    await this.#insist(() => {
      const state = new Map(entries.flatMap((entry) => removal(entry.id, keyOf(entry))));
      return this.#log.append({ events: [], state, forgetJobs });
    });
  }

  /** Stops trying again. */
  stop(): void {
    this.#stopped.abort();
  }

  #append(job: Job, payloads: readonly PayloadInit[], state: ReadonlyMap<string, StatePut>): Promise<AppendResult> {
    const { jobId, correlationId } = job;
    // A worker that has ended takes nothing more, and a job must be able to end all the same.
    const workerId = this.#publisher.hasEnded(job.workerId) ? "" : job.workerId;
    const events: NewEvent[] = payloads.map((payload) =>
      create(NewEventSchema, { jobId, workerId, correlationId, payload }),
    );
    return this.#publisher.append(this.#publisher.prepare(events, "runtime"), state);
  }

  /** Tries again while the log has no room: what must be said can't be dropped because others say much. */
  async #insist(append: () => Promise<unknown>): Promise<void> {
    for (;;) {
      try {
        await append();
        return;
      } catch (error) {
        if (!hasReason(error, "limit_exceeded") || this.#stopped.signal.aborted) throw error;
        await this.#pause(error.details.retryAfterMs ?? limits.jobRetryAfterMs);
      }
    }
  }

  #pause(ms: number): Promise<void> {
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

function recordKey(job: Job): string {
  return `${recordPrefix}${job.jobId}`;
}

function headerOf(
  state: JobState,
  { beforeSequence, beforeOrdinal }: Pick<RecordHeader, "beforeSequence" | "beforeOrdinal">,
): RecordHeader {
  return { state, beforeSequence, beforeOrdinal, endSequence: 0, endTimeMs: 0 };
}

function stateChanged(job: Job, state: JobState): PayloadInit {
  const { operation, reason, message, exitCode } = job;
  const value = { state, operation, reason, message, ...(exitCode === undefined ? {} : { exitCode }) };
  return { case: "jobStateChanged", value };
}

/** At most so many bytes of a text, whole characters only. */
function cut(text: string, maxBytes: number): string {
  // A character has a byte at least: of a text of any length no more than this is looked at.
  const bytes = new TextEncoder().encode(text.slice(0, maxBytes));
  if (bytes.length <= maxBytes && text.length <= maxBytes) return text.toWellFormed();
  let end = maxBytes;
  // Continuation bytes of a character that would be torn.
  while (((bytes[end] as number) & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(bytes.subarray(0, end));
}
