import { crc32 } from "../base/crc32.ts";
import { type ProblemDetails, TailraceError } from "../base/errors.ts";
import { alphabet, CursorEncoder, cursorLayout, cursorLength } from "./cursor-encoder.ts";
import { type Epoch, Epochs } from "./epochs.ts";

export { cursorLength } from "./cursor-encoder.ts";

/**
 * A position in the one total order of a runtime (docs/protocol.md, "Cursor"), after an event or before all of them.
 * The counts let a reader that comes back be told exactly what it lost.
 */
export interface Position {
  /** Sequence of the last event before this position; 0: before the first. At most 2^48 - 1. */
  readonly sequence: number;
  /** Events of the runtime up to here. Smaller than `sequence` where sequences were skipped. */
  readonly ordinal: number;
  /** Hash of the worker that `workerOrdinal` counts; 0: none. */
  readonly workerHash: number;
  /** Events of that worker up to here. At most 2^40 - 1. */
  readonly workerOrdinal: number;
  /** Hash of the job that `jobOrdinal` counts; 0: none. */
  readonly jobHash: number;
  /** Events of that job up to here. At most 2^32 - 1. */
  readonly jobOrdinal: number;
}

/** The position before everything. */
export const origin: Position = {
  sequence: 0,
  ordinal: 0,
  workerHash: 0,
  workerOrdinal: 0,
  jobHash: 0,
  jobOrdinal: 0,
};

const formatVersion = 1;
const closingFlag = 0x80;
const { bytes: byteLength, checksum: checkedLength } = cursorLayout;

const values = new Uint8Array(256).fill(255);
for (let i = 0; i < alphabet.length; i++) values[alphabet[i] as number] = i;

/** 32-bit hash of an id, never 0. Signed: larger numbers would be an object for every event that is encoded. */
export function hashId(id: string): number {
  const hash = crc32(new TextEncoder().encode(id)) | 0;
  return hash === 0 ? 1 : hash;
}

/** What a cursor says, whatever runtime it is of. */
export interface DecodedCursor {
  readonly position: Position;
  /** Whether it is the id of a terminal diagnostic: the same position with an end flag. */
  readonly closing: boolean;
  readonly runtimeHash: number;
  /** As much of it as a cursor has: the lower 56 bits. */
  readonly generation: bigint;
  /** Tag of the epoch in which the position lies: of 24 bits. */
  readonly epoch: number;
}

/**
 * Reads a cursor without asking whose it is.
 * @throws TailraceError `cursor_malformed` for anything that `CursorCodec` did not write.
 */
export function decodeCursor(text: string): DecodedCursor {
  if (text.length !== cursorLength) {
    throw malformed(text.length === 0 ? "it is empty" : `it has ${text.length} characters, not ${cursorLength}`);
  }
  const bytes = new Uint8Array(byteLength);
  for (let i = 0, o = 0; i < cursorLength; i += 4, o += 3) {
    const a = valueAt(text, i);
    const b = valueAt(text, i + 1);
    const c = valueAt(text, i + 2);
    const d = valueAt(text, i + 3);
    bytes[o] = (a << 2) | (b >> 4);
    bytes[o + 1] = ((b & 15) << 4) | (c >> 2);
    bytes[o + 2] = ((c & 3) << 6) | d;
  }
  const view = new DataView(bytes.buffer);
  if (view.getUint32(checkedLength) !== crc32(bytes.subarray(0, checkedLength))) {
    throw malformed("its checksum does not fit: it was altered or cut");
  }
  const head = bytes[0] as number;
  if ((head & ~closingFlag) !== formatVersion) throw malformed("it has a format that this release does not read");
  const sequence = readUint48(view, cursorLayout.sequence);
  const skipped = readUint48(view, cursorLayout.skipped);
  if (skipped > sequence) throw malformed("its counts contradict each other");
  return {
    closing: (head & closingFlag) !== 0,
    runtimeHash: view.getInt32(cursorLayout.runtime),
    generation: view.getBigUint64(cursorLayout.generation) >> 8n,
    epoch: view.getUint32(cursorLayout.epoch) >>> 8,
    position: {
      sequence,
      ordinal: sequence - skipped,
      workerHash: view.getInt32(cursorLayout.workerHash),
      workerOrdinal: readUint40(view, cursorLayout.workerOrdinal),
      jobHash: view.getInt32(cursorLayout.jobHash),
      jobOrdinal: view.getUint32(cursorLayout.jobOrdinal),
    },
  };
}

/** Writes and reads the cursors of one runtime and one generation of its log. */
export class CursorCodec {
  readonly runtimeId: string;
  readonly generation: bigint;
  readonly #runtimeHash: number;
  /** As cursors have it. */
  readonly #ownGeneration: bigint;
  readonly #encoder: CursorEncoder;
  readonly #epochs: Epochs;
  /** That of the cursor which was written last. */
  #epoch: Epoch = { after: 0, through: 0, tag: 0 };
  readonly #text = new Uint8Array(cursorLength);
  readonly #decoder = new TextDecoder();

  /** @param epochs of the log. Default: none, as of a log that does not tell them apart. */
  constructor(runtimeId: string, generation: bigint, epochs: Epochs = new Epochs()) {
    this.runtimeId = runtimeId;
    this.generation = generation;
    this.#epochs = epochs;
    this.#runtimeHash = hashId(runtimeId);
    this.#ownGeneration = BigInt.asUintN(56, generation);
    // Longer by the byte of the generation that is left out.
    const prefix = new DataView(new ArrayBuffer(cursorLayout.epoch + 1));
    prefix.setUint8(0, formatVersion);
    prefix.setInt32(cursorLayout.runtime, this.#runtimeHash);
    prefix.setBigUint64(cursorLayout.generation, this.#ownGeneration << 8n);
    this.#encoder = new CursorEncoder(new Uint8Array(prefix.buffer, 0, cursorLayout.epoch));
  }

  /** The cursor of a position. `closing`: of a terminal diagnostic, so that asking again with it ends at once. */
  encode(position: Position, closing = false): string {
    this.encodePositionInto(this.#text, 0, position);
    if (closing) this.#encoder.repeatWithFlags(this.#text, formatVersion | closingFlag);
    return this.#decoder.decode(this.#text);
  }

  /** Writes the cursor's characters at `at` of `target`, without making a string: the hot path of every encoder. */
  encodeInto(
    target: Uint8Array,
    at: number,
    sequence: number,
    ordinal: number,
    workerHash: number,
    workerOrdinal: number,
    jobHash: number,
    jobOrdinal: number,
  ): void {
    const { after, through } = this.#epoch;
    if (sequence <= after || sequence > through) this.#enter(sequence);
    this.#encoder.encodeInto(target, at, sequence, ordinal, workerHash, workerOrdinal, jobHash, jobOrdinal);
  }

  /** The same for a position that there is as an object. */
  encodePositionInto(target: Uint8Array, at: number, position: Position): void {
    const { sequence, ordinal, workerHash, workerOrdinal, jobHash, jobOrdinal } = position;
    this.encodeInto(target, at, sequence, ordinal, workerHash, workerOrdinal, jobHash, jobOrdinal);
  }

  /**
   * Reads a cursor of this runtime and generation.
   * @throws TailraceError `cursor_malformed`, or `cursor_unknown` for one of another runtime or generation.
   */
  decode(text: string): DecodedCursor {
    const decoded = decodeCursor(text);
    if (decoded.runtimeHash !== this.#runtimeHash) throw unknown("other_runtime");
    if (decoded.generation !== this.#ownGeneration) throw unknown("other_generation");
    return decoded;
  }

  /** Names the history of the log up to an event, for revisions: another one has another name at the same sequence. */
  historyAt(sequence: number): string {
    return `${this.generation.toString(36)}.${this.#epochs.at(sequence).tag.toString(36)}`;
  }

  #enter(sequence: number): void {
    this.#epoch = this.#epochs.at(sequence);
    this.#encoder.setEpoch(this.#epoch.tag);
  }
}

/** An error for a well-formed cursor that does not belong here. */
export function unknown(cause: ProblemDetails["cursor_unknown"]["cause"]): TailraceError<"cursor_unknown"> {
  const messages = {
    other_generation: "The cursor belongs to an earlier generation of this log, which was wiped or restored since.",
    other_runtime: "The cursor belongs to another runtime.",
    other_history: "The log was restored since, or lost its newest events, and this position is among what was lost.",
    beyond_head: "The cursor lies beyond the newest event of this log.",
  };
  return new TailraceError("cursor_unknown", { cause }, `${messages[cause]} Start again without it.`);
}

function malformed(description: string): TailraceError<"cursor_malformed"> {
  return new TailraceError(
    "cursor_malformed",
    { description },
    `This is not a cursor: ${description}. Use a cursor exactly as it was received, or start without one.`,
  );
}

function valueAt(text: string, index: number): number {
  const code = text.charCodeAt(index);
  const value = code < 256 ? (values[code] as number) : 255;
  if (value === 255) throw malformed(`character ${index + 1} is none of the URL-safe base64 alphabet`);
  return value;
}

function readUint48(view: DataView, at: number): number {
  return view.getUint16(at) * 0x1_0000_0000 + view.getUint32(at + 2);
}

function readUint40(view: DataView, at: number): number {
  return view.getUint8(at) * 0x1_0000_0000 + view.getUint32(at + 1);
}
