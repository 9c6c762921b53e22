import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Job, JobSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import type { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { origin } from "../../events/cursor.ts";
import type { StatePut } from "../../log/contract.ts";
import { readResult, resultBytes, writeResult } from "../../log/state-put.ts";

/** Where the log's state keeps the record of a job, what an idempotency key stands for, and a cancel that awaits the owner. */
export const recordPrefix = "job/";
export const keyPrefix = "job-key/";
export const askPrefix = "job-ask/";

export function recordKey(jobId: string): string {
  return `${recordPrefix}${jobId}`;
}

/** What of a record is needed without decoding it. */
export interface RecordHeader {
  readonly state: JobState;
  /** Position before the job's first event. */
  readonly beforeSequence: number;
  readonly beforeOrdinal: number;
  /** When it was submitted, by the time of the log, in milliseconds since the epoch: clocks of servers differ. */
  readonly submitTimeMs: number;
  /** Sequence of the event that ended the job, and when that was, by the time of the log; 0: it has not ended. */
  readonly endSequence: number;
  readonly endTimeMs: number;
  /** Id of the server that runs the job, or in whose queue it waits; empty where the log is not shared. */
  readonly owner: string;
}

const version = 1;
/** Where the place and time of the batch that submitted the job lie, and those of the batch that ended it. */
const submittedAt = 2;
const endedAt = submittedAt + resultBytes;
/** Then follow the lengths of the owner's id and of the operation's name, both of these, and the job. */
const headerBytes = endedAt + resultBytes;
const ownerAt = headerBytes + 4;

/** A record that is committed with the batch that submits the job, and says where that went. */
export function submittedRecord(header: RecordHeader, job: Job): StatePut {
  return { bytes: encodeRecord(header, job), resultAt: submittedAt };
}

/** A record that is committed with the batch that ends the job, and says where that went. */
export function endedRecord(header: RecordHeader, job: Job): StatePut {
  return { bytes: encodeRecord(header, job), resultAt: endedAt };
}

/**
 * A record as the log's state keeps it: the header, and `tailrace.v1.Job` without what the log counts. Remembered jobs are
 * in memory in this form only, because there may be a hundred thousand of them.
 */
export function encodeRecord(header: RecordHeader, job: Job): Uint8Array {
  return withHeader(header, new TextEncoder().encode(job.operation), toBinary(JobSchema, job));
}

/** The same job in another log, whose header says where its events are there. */
export function movedRecord(record: Uint8Array, header: RecordHeader): Uint8Array {
  return withHeader(header, record.subarray(nameAt(record), bodyAt(record)), record.subarray(bodyAt(record)));
}

function withHeader(header: RecordHeader, name: Uint8Array, body: Uint8Array): Uint8Array {
  const owner = new TextEncoder().encode(header.owner);
  const record = new Uint8Array(ownerAt + owner.length + name.length + body.length);
  const view = new DataView(record.buffer);
  view.setUint8(0, version);
  view.setUint8(1, header.state);
  const { beforeSequence, beforeOrdinal, submitTimeMs, endSequence, endTimeMs } = header;
  const before = { ...origin, sequence: beforeSequence, ordinal: beforeOrdinal };
  const end = { ...origin, sequence: endSequence };
  writeResult(record, submittedAt, { firstSequence: beforeSequence + 1, last: before, timeMs: submitTimeMs });
  writeResult(record, endedAt, { firstSequence: endSequence, last: end, timeMs: endTimeMs });
  view.setUint16(headerBytes, owner.length);
  view.setUint16(headerBytes + 2, name.length);
  record.set(owner, ownerAt);
  record.set(name, ownerAt + owner.length);
  record.set(body, ownerAt + owner.length + name.length);
  return record;
}

export function readHeader(record: Uint8Array): RecordHeader {
  const view = viewOf(record);
  if (view.getUint8(0) !== version) throw new Error(`a job's record has version ${view.getUint8(0)}, not ${version}`);
  const { firstSequence, last, timeMs: submitTimeMs } = readResult(record, submittedAt);
  const end = readResult(record, endedAt);
  const beforeSequence = firstSequence - 1;
  return {
    state: view.getUint8(1) as JobState,
    beforeSequence,
    // The events of one batch follow each other without holes.
    beforeOrdinal: last.ordinal - (last.sequence - beforeSequence),
    submitTimeMs,
    endSequence: end.last.sequence,
    endTimeMs: end.timeMs,
    owner: new TextDecoder().decode(record.subarray(ownerAt, nameAt(record))),
  };
}

/** The operation of a record, which a start must know of every job: decoding a hundred thousand of them takes seconds. */
export function readOperation(record: Uint8Array): string {
  return new TextDecoder().decode(record.subarray(nameAt(record), bodyAt(record)));
}

/** The job of a record: a message of its own. */
export function readJob(record: Uint8Array): Job {
  return fromBinary(JobSchema, record.subarray(bodyAt(record)));
}

function nameAt(record: Uint8Array): number {
  return ownerAt + viewOf(record).getUint16(headerBytes);
}

function bodyAt(record: Uint8Array): number {
  return nameAt(record) + viewOf(record).getUint16(headerBytes + 2);
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
  const puts: [string, StatePut][] = [[recordKey(jobId), null]];
  if (key !== "") puts.push([`${keyPrefix}${key}`, null]);
  return puts;
}
