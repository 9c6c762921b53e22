import { create, toBinary } from "@bufbuild/protobuf";
import { WatchEventsResponseSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { limits } from "../base/limits.ts";
import { type CursorCodec, cursorLength, type Position } from "../events/cursor.ts";
import type { EventBlock } from "../log/block.ts";
import type { ControlFrame, EventRun, WireForm } from "../stream/form.ts";
import { allocateFrame, reuseFrame } from "./chunk.ts";
import { envelope, envelopeHeaderBytes, writeEnvelopeHeader } from "./envelope.ts";
import { varintSize, writeVarint } from "./varint.ts";

/** Tags of `WatchEventsResponse.events`, of `EventBatch` and of `Event`, all with numbers below 16, so of one byte. */
const eventsFrameTag = 0x12;
const entryTag = 0x0a;
const batchCursorTag = 0x12;
const batchRuntimeIdTag = 0x1a;
const eventCursorTag = 0x0a;
const sequenceTag = 0x11;
const workerSequenceTag = 0x19;

/** Tag, length and characters of a cursor. */
const cursorFieldBytes = 2 + cursorLength;
/** Tag and value of a fixed64. */
const fixed64FieldBytes = 9;

/** Events of a block from which on its columns may serve another one. */
const minSpareLength = 128;

/** The events of a block as entries of `EventBatch.events`: entry `i` is at [`offsets[i]`, `offsets[i + 1]`). */
export interface ProtobufEntries {
  readonly block: EventBlock;
  /** The stored bytes of the block, as a Buffer, because its copy is the fastest. */
  readonly stored: Buffer;
  readonly offsets: Uint32Array;
  /** Which entries are in `bytes`. */
  readonly written: Uint8Array;
  /** How many are. */
  writtenCount: number;
  /** Made when the first event is wanted. */
  bytes: Buffer | undefined;
}

/** Frames as a stream of Connect, gRPC and gRPC-Web carries them in binary: `WatchEventsResponse` in an envelope. */
export class ProtobufForm implements WireForm<ProtobufEntries, Uint8Array> {
  readonly name = "connect+proto";
  readonly #cursors: CursorCodec;
  readonly #runtimeIdField: Uint8Array;
  /** Bytes of a batch beside its entries. */
  readonly #trailerBytes: number;
  /** Columns of blocks that were released. */
  readonly #spare: Pick<ProtobufEntries, "offsets" | "written">[] = [];

  constructor(cursors: CursorCodec) {
    this.#cursors = cursors;
    const id = new TextEncoder().encode(cursors.runtimeId);
    // An empty string is not on the wire, as protobuf has it.
    const field = new Uint8Array(id.length === 0 ? 0 : 1 + varintSize(id.length) + id.length);
    if (id.length > 0) {
      field[0] = batchRuntimeIdTag;
      field.set(id, writeVarint(field, 1, id.length));
    }
    this.#runtimeIdField = field;
    this.#trailerBytes = cursorFieldBytes + field.length;
  }

  encode(block: EventBlock): ProtobufEntries {
    const { length, starts, ends, workerOrdinals, bytes } = block;
    const { offsets, written } = this.#columns(length);
    let offset = 0;
    for (let i = 0; i < length; i++) {
      const body = bodySize(starts, ends, workerOrdinals, i);
      offset += 1 + varintSize(body) + body;
      offsets[i + 1] = offset;
    }
    return {
      block,
      stored: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      offsets,
      written,
      writtenCount: 0,
      bytes: undefined,
    };
  }

  entrySize({ offsets }: ProtobufEntries, index: number): number {
    return (offsets[index + 1] as number) - (offsets[index] as number);
  }

  events(runs: readonly EventRun<ProtobufEntries>[], through: Position): Uint8Array {
    let entryBytes = 0;
    for (const run of runs) entryBytes += runSize(run);
    const batchBytes = entryBytes + this.#trailerBytes;
    const messageBytes = 1 + varintSize(batchBytes) + batchBytes;
    const frame = allocateFrame(envelopeHeaderBytes + messageBytes);
    writeEnvelopeHeader(frame, 0, messageBytes);
    frame[envelopeHeaderBytes] = eventsFrameTag;
    let at = writeVarint(frame, envelopeHeaderBytes + 1, batchBytes);
    for (const run of runs) at = this.#copyRun(run, frame, at);
    frame[at] = batchCursorTag;
    frame[at + 1] = cursorLength;
    this.#cursors.encodePositionInto(frame, at + 2, through);
    frame.set(this.#runtimeIdField, at + cursorFieldBytes);
    return frame;
  }

  control(frame: ControlFrame): Uint8Array {
    return envelope(0, toBinary(WatchEventsResponseSchema, create(WatchEventsResponseSchema, { frame })));
  }

  frameSize(frame: Uint8Array): number {
    return frame.length;
  }

  release({ offsets, written }: ProtobufEntries): void {
    if (written.length < minSpareLength || this.#spare.length === limits.spareReadBuffers) return;
    this.#spare.push({ offsets, written });
  }

  reuse(frame: Uint8Array): void {
    reuseFrame(frame);
  }

  #columns(length: number): Pick<ProtobufEntries, "offsets" | "written"> {
    const spare = length < minSpareLength ? undefined : this.#spare.pop();
    if (spare === undefined || spare.written.length < length) {
      return { offsets: new Uint32Array(length + 1), written: new Uint8Array(length) };
    }
    spare.written.fill(0, 0, length);
    return spare;
  }

  #copyRun(run: EventRun<ProtobufEntries>, frame: Buffer, at: number): number {
    const { entries, from, to, indices } = run;
    const { offsets, block } = entries;
    if (indices === undefined) {
      if (entries.bytes === undefined && from === 0 && to === block.length) {
        // The first frame of a whole block is where the entries live: they need no memory of their own.
        entries.bytes = frame.subarray(at, at + (offsets[to] as number));
        for (let i = 0; i < to; i++) this.#write(entries, entries.bytes, i);
        return at + (offsets[to] as number);
      }
      const bytes = this.#bytesOf(entries);
      if (entries.writtenCount < block.length) {
        for (let i = from; i < to; i++) this.#write(entries, bytes, i);
      }
      bytes.copy(frame, at, offsets[from] as number, offsets[to] as number);
      return at + (offsets[to] as number) - (offsets[from] as number);
    }
    const bytes = this.#bytesOf(entries);
    let next = at;
    for (const index of indices) {
      this.#write(entries, bytes, index);
      bytes.copy(frame, next, offsets[index] as number, offsets[index + 1] as number);
      next += (offsets[index + 1] as number) - (offsets[index] as number);
    }
    return next;
  }

  #bytesOf(entries: ProtobufEntries): Buffer {
    entries.bytes ??= Buffer.allocUnsafeSlow(entries.offsets[entries.block.length] as number);
    return entries.bytes;
  }

  /** Encodes an event, unless that was done. */
  #write(entries: ProtobufEntries, bytes: Buffer, index: number): void {
    if (entries.written[index] === 1) return;
    entries.written[index] = 1;
    entries.writtenCount++;
    const { block, stored } = entries;
    const { starts, ends, sequences, ordinals, workers, workerOrdinals, subjects } = block;
    const { jobs, jobOrdinals, jobSubjects } = block;
    const sequence = sequences[index] as number;
    const workerOrdinal = workerOrdinals[index] as number;
    let at = entries.offsets[index] as number;
    bytes[at] = entryTag;
    at = writeVarint(bytes, at + 1, bodySize(starts, ends, workerOrdinals, index));
    bytes[at] = eventCursorTag;
    bytes[at + 1] = cursorLength;
    const workerHash = subjects.hashOf(workers[index] as number);
    const ordinal = ordinals[index] as number;
    const jobHash = jobSubjects.hashOf(jobs[index] as number);
    const jobOrdinal = jobOrdinals[index] as number;
    this.#cursors.encodeInto(bytes, at + 2, sequence, ordinal, workerHash, workerOrdinal, jobHash, jobOrdinal);
    at += cursorFieldBytes;
    bytes[at] = sequenceTag;
    writeFixed64(bytes, at + 1, sequence);
    at += fixed64FieldBytes;
    if (workerOrdinal !== 0) {
      bytes[at] = workerSequenceTag;
      writeFixed64(bytes, at + 1, workerOrdinal);
      at += fixed64FieldBytes;
    }
    stored.copy(bytes, at, starts[index] as number, ends[index] as number);
  }
}

/** Bytes of the `Event` message. Sequences are never 0; a worker sequence is left out if it is, as protobuf has it. */
function bodySize(starts: Uint32Array, ends: Uint32Array, workerOrdinals: Float64Array, index: number): number {
  const stored = (ends[index] as number) - (starts[index] as number);
  const sequences = workerOrdinals[index] === 0 ? fixed64FieldBytes : 2 * fixed64FieldBytes;
  return cursorFieldBytes + sequences + stored;
}

function runSize({ entries: { offsets }, from, to, indices }: EventRun<ProtobufEntries>): number {
  if (indices === undefined) return (offsets[to] as number) - (offsets[from] as number);
  let size = 0;
  for (const index of indices) size += (offsets[index + 1] as number) - (offsets[index] as number);
  return size;
}

/** Byte by byte, little-endian: the methods of Buffer cost more. */
function writeFixed64(target: Uint8Array, at: number, value: number): void {
  const low = value >>> 0;
  const high = Math.floor(value / 0x1_0000_0000);
  target[at] = low;
  target[at + 1] = low >>> 8;
  target[at + 2] = low >>> 16;
  target[at + 3] = low >>> 24;
  target[at + 4] = high;
  target[at + 5] = high >>> 8;
  target[at + 6] = high >>> 16;
  target[at + 7] = high >>> 24;
}
