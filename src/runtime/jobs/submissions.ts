import { create, type JsonObject } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Job,
  JobSchema,
  type SubmitJobRequest,
  type SubmitJobResponse,
  SubmitJobResponseSchema,
} from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { Clock } from "../../base/clock.ts";
import { invalidRequest } from "../../base/errors.ts";
import type { EventPublisher } from "../publisher.ts";
import { type SubmitSpec, stricter, submitSpec, timeoutsOf } from "../requests-jobs.ts";
import { ActiveJob } from "./active.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { JobLedger } from "./ledger.ts";
import type { JobMemory } from "./memory.ts";
import type { JobTimeoutOptions } from "./operation.ts";
import { checkParams, givenParams } from "./params.ts";
import type { KeyUse } from "./record.ts";
import type { Scheduler } from "./scheduler.ts";
import { type JobEntry, type JobTable, newEntry } from "./table.ts";
import type { JobViews } from "./views.ts";

/** What submitting needs of the runtime's jobs. */
export interface SubmissionParts {
  readonly clock: Clock;
  readonly ledger: JobLedger;
  readonly memory: JobMemory;
  readonly publisher: EventPublisher;
  readonly scheduler: Scheduler;
  readonly table: JobTable;
  readonly views: JobViews;
  /** @throws TailraceError `server_closing` once the runtime closes. */
  requireOpen(): void;
}

/** Makes jobs of requests, one of those that have the same idempotency key. */
export class Submissions {
  readonly #parts: SubmissionParts;
  /** Keys whose first request is not answered yet. */
  readonly #pending = new Map<string, Promise<unknown>>();

  constructor(parts: SubmissionParts) {
    this.#parts = parts;
  }

  /** @throws TailraceError `invalid_request`, `limit_exceeded`, `log_unavailable`, `server_closing`. */
  async submit(request: SubmitJobRequest): Promise<SubmitJobResponse> {
    const spec = submitSpec(request);
    const given = givenParams(request.params);
    const key = spec.idempotencyKey;
    if (key === "") return this.#respond((await this.#create(spec, given, undefined)) as JobEntry, false);
    const fingerprint = fingerprintOf(spec, given);
    for (;;) {
      // Whether the one before failed says nothing about this one.
      for (let before = this.#pending.get(key); before !== undefined; before = this.#pending.get(key)) {
        await before.catch(() => undefined);
      }
      const known = this.#known(key, fingerprint);
      if (known !== undefined) return this.#respond(known, true);
      const creating = this.#create(spec, given, fingerprint);
      this.#pending.set(key, creating);
      try {
        const created = await creating;
        if (created !== undefined) return this.#respond(created, false);
      } finally {
        this.#pending.delete(key);
      }
    }
  }

  #known(key: string, fingerprint: string): JobEntry | undefined {
    const { table } = this.#parts;
    const use = table.keyUse(key);
    const entry = use === undefined ? undefined : table.get(use.jobId);
    if (entry !== undefined && use?.fingerprint !== fingerprint) {
      throw invalidRequest("idempotency_key", `it was used for another request, which made job "${entry.id}"`);
    }
    return entry;
  }

  /** Undefined: another server was first with the key. */
  async #create(spec: SubmitSpec, given: JsonObject, fingerprint: string | undefined): Promise<JobEntry | undefined> {
    const { memory, publisher, scheduler, table } = this.#parts;
    const lane = scheduler.findLane(spec.operation);
    const operation = lane?.operation;
    if (lane === undefined || operation === undefined) {
      throw invalidRequest("operation", `there is no operation "${spec.operation}"`);
    }
    const params = await checkParams(operation.params, given);
    const timeouts = stricter(spec.timeouts, operation.timeouts);
    // From here to the append nothing waits: what is checked still holds when it is done.
    this.#parts.requireOpen();
    if (publisher.hasEnded(spec.workerId)) {
      throw invalidRequest("worker_id", `worker "${spec.workerId}" has ended and takes no more events; use another id`);
    }
    lane.reserve(operation, spec.deferred);
    const entry = newEntry(crypto.randomUUID(), lane.name, spec.idempotencyKey);
    const active = new ActiveJob(entry, lane, spec.deferred);
    try {
      memory.makeRoom();
      entry.active = active;
      table.add(entry);
      const use: KeyUse | undefined = fingerprint === undefined ? undefined : { jobId: entry.id, fingerprint };
      const job = jobOf(entry, spec, params, timeouts, this.#parts.clock.now());
      const created = await this.#parts.ledger.submitted(job, spec.idempotencyKey, use, () => {
        this.#parts.requireOpen();
        return use === undefined || this.#claim(spec.idempotencyKey, use);
      });
      if (!created) {
        table.remove(entry);
        lane.release(active);
        return undefined;
      }
    } catch (error) {
      table.remove(entry);
      lane.release(active);
      throw error;
    }
    scheduler.wait(active, timeouts);
    return entry;
  }

  /** Takes a key for a job; false: it is another job's by now. */
  #claim(key: string, use: KeyUse): boolean {
    const { table } = this.#parts;
    const taken = table.keyUse(key);
    if (taken !== undefined) return taken.jobId === use.jobId;
    table.useKey(key, use);
    return true;
  }

  #respond(entry: JobEntry, duplicate: boolean): SubmitJobResponse {
    const { views } = this.#parts;
    return create(SubmitJobResponseSchema, {
      jobId: entry.id,
      cursor: views.cursorBefore(entry),
      streamUrl: `/v1/jobs/${entry.id}/stream`,
      job: views.job(entry),
      duplicate,
    });
  }
}

function jobOf(entry: JobEntry, spec: SubmitSpec, params: JsonObject, timeouts: JobTimeoutOptions, nowMs: number): Job {
  const bounded = Object.keys(timeouts).length > 0;
  return create(JobSchema, {
    jobId: entry.id,
    operation: spec.operation,
    state: JobState.QUEUED,
    deferred: spec.deferred,
    workerId: spec.workerId,
    correlationId: spec.correlationId,
    createTime: timestampFromMs(nowMs),
    params,
    ...(bounded ? { timeouts: timeoutsOf(timeouts) } : {}),
  });
}
