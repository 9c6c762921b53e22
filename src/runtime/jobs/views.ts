import { create } from "@bufbuild/protobuf";
import {
  type GetJobRequest,
  type GetJobResponse,
  GetJobResponseSchema,
  type Job,
  type ListJobsRequest,
  type ListJobsResponse,
  ListJobsResponseSchema,
} from "../../../gen/tailrace/v1/job_service_pb.ts";
import { type CursorCodec, hashId, type Position } from "../../events/cursor.ts";
import type { EventLog } from "../../log/contract.ts";
import { jobPageToken } from "../page-tokens.ts";
import { listJobsSpec } from "../requests-jobs.ts";
import type { JobLedger } from "./ledger.ts";
import { askPrefix } from "./record.ts";
import type { JobEntry, JobTable } from "./table.ts";

/** Jobs as the world sees them: what is committed, and what is asked of them at the moment. */
export class JobViews {
  readonly #log: EventLog;
  readonly #cursors: CursorCodec;
  readonly #ledger: JobLedger;
  readonly #table: JobTable;

  constructor(log: EventLog, cursors: CursorCodec, ledger: JobLedger, table: JobTable) {
    this.#log = log;
    this.#cursors = cursors;
    this.#ledger = ledger;
    this.#table = table;
  }

  get(entry: JobEntry, { ifRevisionNot }: Pick<GetJobRequest, "ifRevisionNot">): GetJobResponse {
    const revision = this.#revision(entry);
    const { head } = this.#log.bounds({ kind: "job", jobId: entry.id });
    const answer = create(GetJobResponseSchema, { cursor: this.#cursors.encode(head), revision });
    if (ifRevisionNot === revision) answer.notModified = true;
    else answer.job = this.job(entry);
    return answer;
  }

  /** @throws TailraceError `invalid_request`. */
  list(request: ListJobsRequest): ListJobsResponse {
    const { states, operation, pageSize, before } = listJobsSpec(request);
    const { head } = this.#log.bounds({ kind: "runtime" });
    const answer = create(ListJobsResponseSchema, { cursor: this.#cursors.encode(head) });
    let last: JobEntry | undefined;
    for (const entry of this.#table.newestFirst(before)) {
      if (states !== undefined && !states.has(entry.state)) continue;
      if (operation !== "" && entry.operation !== operation) continue;
      if (answer.jobs.length === pageSize && last !== undefined) {
        answer.nextPageToken = jobPageToken(last.sequence);
        break;
      }
      answer.jobs.push(this.job(entry));
      last = entry;
    }
    return answer;
  }

  /** A committed job. */
  job(entry: JobEntry): Job {
    const { job } = this.#ledger.record(entry.id);
    const { active } = entry;
    if (active !== undefined) {
      job.cancelRequested = active.cancelRequested;
      job.deferred = active.deferred;
      const position = active.lane.positionOf(active);
      if (position !== undefined) job.queuePosition = position;
    } else job.cancelRequested = this.#isAsked(entry);
    const record = this.#log.job(entry.id);
    if (record !== undefined) {
      job.events = BigInt(record.lastOrdinal);
      job.retainedEvents = BigInt(record.retainedEvents);
    }
    const bounds = this.#log.bounds({ kind: "job", jobId: entry.id });
    job.earliestCursor = this.#cursors.encode(bounds.floor);
    job.latestCursor = this.#cursors.encode(bounds.head);
    return job;
  }

  /** The cursor before a job's first event. */
  cursorBefore(entry: JobEntry): string {
    const { beforeSequence: sequence, beforeOrdinal: ordinal } = this.#ledger.record(entry.id).header;
    const none = { workerHash: 0, workerOrdinal: 0 };
    const before: Position = { sequence, ordinal, ...none, jobHash: hashId(entry.id), jobOrdinal: 0 };
    return this.#cursors.encode(before);
  }

  /** Changes whenever what is said of the job does. */
  #revision(entry: JobEntry): string {
    const { id, active } = entry;
    const { floor, head } = this.#log.bounds({ kind: "job", jobId: id });
    const events = this.#log.job(id)?.lastOrdinal ?? 0;
    const waits = active === undefined ? "" : `${active.deferred ? "d" : (active.lane.positionOf(active) ?? "")}`;
    const cancelled = (active?.cancelRequested ?? this.#isAsked(entry)) ? "c" : "";
    return `${this.#cursors.historyAt(head.sequence)}-${events}-${floor.jobOrdinal}-${entry.state}${cancelled}${waits}`;
  }

  /** Whether a cancel is on its way to the server that runs the job. */
  #isAsked({ id }: JobEntry): boolean {
    return this.#log.state(`${askPrefix}${id}`) !== undefined;
  }
}
