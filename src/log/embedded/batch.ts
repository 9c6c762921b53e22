import { crc32 } from "node:zlib";
import { unsetBytes } from "../binary.ts";
import type { EventArrays } from "../index/staged.ts";

/**
 * A batch in a segment: header, one row per event, the stored bytes of the events, and what else is committed with them
 * (changes.ts). All numbers are little-endian.
 *
 *     0  magic            u32
 *     4  length           u32   of the whole batch
 *     8  events           u32
 *    12  form             u32   0: as committed, rows number on; 1: compacted, rows say their place; plus 2: rows name jobs
 *    16  first sequence   f64
 *    24  first ordinal    f64
 *    32  time             f64   of all events, in milliseconds
 *    40  changes          u32   bytes of them, at the end
 *    44  checksum         u32   CRC-32 of everything after the header
 *    48  checksum         u32   CRC-32 of the header up to here
 *
 * A row: size u32, kind u32, worker u32, ordinal in the worker f64; if compacted, sequence, ordinal and time f64; if rows
 * name jobs, sequence of the first event of its job f64 (which is what the files know a job by; 0: of none) and ordinal in
 * the job f64.
 */
export const headerBytes = 52;
const magic = 0x31425254; // "TRB1"
const rowBytes = 20;
const placeBytes = 24;
const jobBytes = 16;

export const asCommitted = 0;
export const compacted = 1;
export type BatchForm = typeof asCommitted | typeof compacted;
const namesJobs = 2;

/** Bytes before the stored bytes of the first event. */
export function bytesBeforeEvents({ length, jobs }: Pick<EventArrays, "length" | "jobs">, form: BatchForm): number {
  return headerBytes + length * bytesOfRow(form === compacted, jobs !== undefined);
}

function bytesOfRow(isCompacted: boolean, hasJobs: boolean): number {
  return rowBytes + (isCompacted ? placeBytes : 0) + (hasJobs ? jobBytes : 0);
}

/**
 * Makes a batch around stored bytes that the caller writes.
 *
 * @param numberOf gives the number that the log's files know a worker by.
 * @param jobKeyOf gives the sequence of a job's first event.
 * @param writeEvents puts the stored bytes into the batch, from the given offset.
 */
export function encodeBatch(
  form: BatchForm,
  events: EventArrays,
  storedBytes: number,
  firstSequence: number,
  firstOrdinal: number,
  timeMs: number,
  changes: Uint8Array,
  numberOf: (worker: number) => number,
  jobKeyOf: (job: number) => number,
  writeEvents: (target: Uint8Array, offset: number) => void,
): Uint8Array {
  const before = bytesBeforeEvents(events, form);
  const length = before + storedBytes + changes.length;
  const bytes = unsetBytes(length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const { jobs, jobOrdinals } = events;
  let at = headerBytes;
  for (let i = 0; i < events.length; i++) {
    view.setUint32(at, events.sizes[i] as number, true);
    view.setUint32(at + 4, events.kinds[i] as number, true);
    view.setUint32(at + 8, numberOf(events.workers[i] as number), true);
    view.setFloat64(at + 12, events.workerOrdinals[i] as number, true);
    at += rowBytes;
    if (form === compacted) {
      view.setFloat64(at, events.sequences[i] as number, true);
      view.setFloat64(at + 8, events.ordinals[i] as number, true);
      view.setFloat64(at + 16, events.times[i] as number, true);
      at += placeBytes;
    }
    if (jobs === undefined || jobOrdinals === undefined) continue;
    const job = jobs[i] as number;
    view.setFloat64(at, job === 0 ? 0 : jobKeyOf(job), true);
    view.setFloat64(at + 8, jobOrdinals[i] as number, true);
    at += jobBytes;
  }
  writeEvents(bytes, before);
  bytes.set(changes, length - changes.length);
  view.setUint32(0, magic, true);
  view.setUint32(4, length, true);
  view.setUint32(8, events.length, true);
  view.setUint32(12, form | (jobs === undefined ? 0 : namesJobs), true);
  view.setFloat64(16, firstSequence, true);
  view.setFloat64(24, firstOrdinal, true);
  view.setFloat64(32, timeMs, true);
  view.setUint32(40, changes.length, true);
  view.setUint32(44, crc32(bytes.subarray(headerBytes)), true);
  view.setUint32(48, crc32(bytes.subarray(0, headerBytes - 4)), true);
  return bytes;
}

/** A batch as found in a segment. */
export interface DecodedBatch {
  /** Bytes of the whole batch. */
  readonly length: number;
  /** Workers by the numbers that the log's files know them by, and no numbers of jobs. */
  readonly events: EventArrays;
  /** Sequences of the first events of jobs; 0: of no job. Undefined: none of the events is of a job. */
  readonly jobKeys: Float64Array | undefined;
  readonly timeMs: number;
  /** Where the stored bytes of the first event begin, counted from the beginning of the batch. */
  readonly eventsOffset: number;
  readonly changes: Uint8Array;
}

/** What is wrong with a batch: `header` says whether already its header does not hold. */
export interface DamagedBatch {
  readonly damaged: true;
  readonly header: boolean;
  /** Bytes that the batch has by its header, if that holds. */
  readonly length: number;
  readonly what: string;
}

/** Reads the batch at `offset`, trusting nothing that a checksum does not cover. */
export function decodeBatch(segment: Uint8Array, offset: number): DecodedBatch | DamagedBatch {
  if (segment.length - offset < headerBytes) return damaged(true, 0, "a batch is cut off in its header");
  const view = new DataView(segment.buffer, segment.byteOffset + offset);
  const headerCrc = crc32(segment.subarray(offset, offset + headerBytes - 4));
  if (view.getUint32(0, true) !== magic || view.getUint32(48, true) !== headerCrc) {
    return damaged(true, 0, "a batch has a header that does not hold");
  }
  const length = view.getUint32(4, true);
  if (length > segment.length - offset) return damaged(false, length, "a batch is cut off");
  if (view.getUint32(44, true) !== crc32(segment.subarray(offset + headerBytes, offset + length))) {
    return damaged(false, length, "the checksum of a batch does not fit");
  }
  const count = view.getUint32(8, true);
  const formBits = view.getUint32(12, true);
  const isCompacted = (formBits & compacted) !== 0;
  const jobKeys = (formBits & namesJobs) !== 0 ? new Float64Array(count) : undefined;
  const jobOrdinals = jobKeys === undefined ? undefined : new Float64Array(count);
  const firstSequence = view.getFloat64(16, true);
  const firstOrdinal = view.getFloat64(24, true);
  const timeMs = view.getFloat64(32, true);
  const changesLength = view.getUint32(40, true);
  const events: EventArrays = {
    length: count,
    sequences: new Float64Array(count),
    ordinals: new Float64Array(count),
    workers: new Uint32Array(count),
    workerOrdinals: new Float64Array(count),
    kinds: new Uint32Array(count),
    times: new Float64Array(count),
    sizes: new Uint32Array(count),
    jobs: jobKeys === undefined ? undefined : new Uint32Array(count),
    jobOrdinals,
  };
  let at = headerBytes;
  for (let i = 0; i < count; i++) {
    events.sizes[i] = view.getUint32(at, true);
    events.kinds[i] = view.getUint32(at + 4, true);
    events.workers[i] = view.getUint32(at + 8, true);
    events.workerOrdinals[i] = view.getFloat64(at + 12, true);
    at += rowBytes;
    if (isCompacted) {
      events.sequences[i] = view.getFloat64(at, true);
      events.ordinals[i] = view.getFloat64(at + 8, true);
      events.times[i] = view.getFloat64(at + 16, true);
      at += placeBytes;
    } else {
      events.sequences[i] = firstSequence + i;
      events.ordinals[i] = firstOrdinal + i;
      events.times[i] = timeMs;
    }
    if (jobKeys === undefined || jobOrdinals === undefined) continue;
    jobKeys[i] = view.getFloat64(at, true);
    jobOrdinals[i] = view.getFloat64(at + 8, true);
    at += jobBytes;
  }
  const changes = segment.subarray(offset + length - changesLength, offset + length);
  return { length, events, jobKeys, timeMs, eventsOffset: at, changes };
}

function damaged(header: boolean, length: number, what: string): DamagedBatch {
  return { damaged: true, header, length, what };
}
