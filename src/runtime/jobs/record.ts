import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Job, JobSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import type { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { StatePut } from "../../log/contract.ts";

/** Where the log's state keeps the record of a job, and what an idempotency key stands for. */
export const recordPrefix = "job/";
export const keyPrefix = "job-key/";

/** What of a record is needed without decoding it. */
export interface RecordHeader {
  readonly state: JobState;
  /** Position before the job's first event. */
  readonly beforeSequence: number;
  readonly beforeOrdinal: number;
  /** Sequence of the event that ended the job, and when that was, in milliseconds since the epoch; 0: it has not ended. */
  readonly endSequence: number;
  readonly endTimeMs: number;
}

const version = 1;
/** Version, state, four numbers, and the length of the operation's name, which follows. */
const headerBytes = 2 + 4 * 8 + 2;

/**
 * A record as the log's state keeps it: the header, and `tailrace.v1.Job` without what the log counts. Remembered jobs are
 * in memory in this form only, because there may be a hundred thousand of them.
 */
export function encodeRecord(header: RecordHeader, job: Job): Uint8Array {
  const body = toBinary(JobSchema, job);
  const name = new TextEncoder().encode(job.operation);
  const record = new Uint8Array(headerBytes + name.length + body.length);
  const view = new DataView(record.buffer);
  view.setUint8(0, version);
  view.setUint8(1, header.state);
  view.setFloat64(2, header.beforeSequence);
  view.setFloat64(10, header.beforeOrdinal);
  view.setFloat64(18, header.endSequence);
  view.setFloat64(26, header.endTimeMs);
  view.setUint16(34, name.length);
  record.set(name, headerBytes);
  record.set(body, headerBytes + name.length);
  return record;
}

export function readHeader(record: Uint8Array): RecordHeader {
  const view = viewOf(record);
  if (view.getUint8(0) !== version) throw new Error(`a job's record has version ${view.getUint8(0)}, not ${version}`);
  return {
    state: view.getUint8(1) as JobState,
    beforeSequence: view.getFloat64(2),
    beforeOrdinal: view.getFloat64(10),
    endSequence: view.getFloat64(18),
    endTimeMs: view.getFloat64(26),
  };
}

/** The operation of a record, which a start must know of every job: decoding a hundred thousand of them takes seconds. */
export function readOperation(record: Uint8Array): string {
  return new TextDecoder().decode(record.subarray(headerBytes, bodyStart(record)));
}

/** The job of a record: a message of its own. */
export function readJob(record: Uint8Array): Job {
  return fromBinary(JobSchema, record.subarray(bodyStart(record)));
}

function bodyStart(record: Uint8Array): number {
  return headerBytes + viewOf(record).getUint16(34);
}

function viewOf(record: Uint8Array): DataView {
  return new DataView(record.buffer, record.byteOffset, record.byteLength);
}

/** What an idempotency key stands for. */
export interface KeyUse {
  readonly jobId: string;
  /** Tells another request under the same key. */
  readonly fingerprint: string;
}

export function encodeKeyUse({ jobId, fingerprint }: KeyUse): Uint8Array {
  return new TextEncoder().encode(JSON.stringify([jobId, fingerprint]));
}

export function readKeyUse(value: Uint8Array): KeyUse {
  const [jobId, fingerprint] = JSON.parse(new TextDecoder().decode(value)) as [string, string];
  return { jobId, fingerprint };
}

/** What removes a job from the log's state. */
export function removal(jobId: string, key: string): [string, StatePut][] {
  const puts: [string, StatePut][] = [[`${recordPrefix}${jobId}`, null]];
  if (key !== "") puts.push([`${keyPrefix}${key}`, null]);
  return puts;
}
