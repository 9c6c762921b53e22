import { crc32, finishCrc32, startCrc32 } from "../base/crc32.ts";
import { TailraceError } from "../base/errors.ts";

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

/** Characters of every cursor. A multiple of 4, so that no unused bits make two texts of one cursor. */
export const cursorLength = 60;

const formatVersion = 1;
const closingFlag = 0x80;
const byteLength = 45;
const checkedLength = byteLength - 4;
// version and flags 1, runtime 4, generation 8
const prefixLength = 13;

const alphabet = new TextEncoder().encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
const values = new Uint8Array(256).fill(255);
for (let i = 0; i < alphabet.length; i++) values[alphabet[i] as number] = i;

/** 32-bit hash of an id, never 0. */
export function hashId(id: string): number {
  const hash = crc32(new TextEncoder().encode(id));
  return hash === 0 ? 1 : hash;
}

/** What a cursor says, whatever runtime it is of. */
export interface DecodedCursor {
  readonly position: Position;
  /** Whether it is the id of a terminal diagnostic: the same position with an end flag. */
  readonly closing: boolean;
  readonly runtimeHash: number;
  readonly generation: bigint;
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
  const sequence = readUint48(view, 13);
  const skipped = readUint40(view, 19);
  if (skipped > sequence) throw malformed("its counts contradict each other");
  return {
    closing: (head & closingFlag) !== 0,
    runtimeHash: view.getUint32(1),
    generation: view.getBigUint64(5),
    position: {
      sequence,
      ordinal: sequence - skipped,
      workerHash: view.getUint32(24),
      workerOrdinal: readUint40(view, 28),
      jobHash: view.getUint32(33),
      jobOrdinal: view.getUint32(37),
    },
  };
}

/** Writes and reads the cursors of one runtime and one generation of its log. */
export class CursorCodec {
  readonly runtimeId: string;
  readonly generation: bigint;
  readonly #runtimeHash: number;
  readonly #scratch = new Uint8Array(byteLength);
  readonly #view = new DataView(this.#scratch.buffer);
  /** Checksum state over the bytes that are the same in every cursor. */
  readonly #prefixCrc: number;
  readonly #text = new Uint8Array(cursorLength);
  readonly #decoder = new TextDecoder();

  constructor(runtimeId: string, generation: bigint) {
    this.runtimeId = runtimeId;
    this.generation = generation;
    this.#runtimeHash = hashId(runtimeId);
    this.#view.setUint8(0, formatVersion);
    this.#view.setUint32(1, this.#runtimeHash);
    this.#view.setBigUint64(5, generation);
    this.#prefixCrc = startCrc32(this.#scratch, 0, prefixLength);
  }

  /** The cursor of a position. `closing`: of a terminal diagnostic, so that asking again with it ends at once. */
  encode(position: Position, closing = false): string {
    if (closing) {
      this.#fill(position);
      this.#scratch[0] = formatVersion | closingFlag;
      this.#view.setUint32(checkedLength, crc32(this.#scratch.subarray(0, checkedLength)));
      this.#scratchToText(this.#text, 0);
      this.#scratch[0] = formatVersion;
    } else {
      this.encodeInto(
        this.#text,
        0,
        position.sequence,
        position.ordinal,
        position.workerHash,
        position.workerOrdinal,
        position.jobHash,
        position.jobOrdinal,
      );
    }
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
    this.#write(sequence, ordinal, workerHash, workerOrdinal, jobHash, jobOrdinal);
    const crc = finishCrc32(this.#prefixCrc, this.#scratch, prefixLength, checkedLength);
    this.#view.setUint32(checkedLength, crc);
    this.#scratchToText(target, at);
  }

  /**
   * Reads a cursor of this runtime and generation.
   * @throws TailraceError `cursor_malformed`, or `cursor_unknown` for one of another runtime or generation.
   */
  decode(text: string): DecodedCursor {
    const decoded = decodeCursor(text);
    if (decoded.runtimeHash !== this.#runtimeHash) throw unknown("other_runtime");
    if (decoded.generation !== this.generation) throw unknown("other_generation");
    return decoded;
  }

  #fill(position: Position): void {
    this.#write(
      position.sequence,
      position.ordinal,
      position.workerHash,
      position.workerOrdinal,
      position.jobHash,
      position.jobOrdinal,
    );
  }

  #write(
    sequence: number,
    ordinal: number,
    workerHash: number,
    workerOrdinal: number,
    jobHash: number,
    jobOrdinal: number,
  ): void {
    const view = this.#view;
    view.setUint16(13, Math.floor(sequence / 0x1_0000_0000));
    view.setUint32(15, sequence >>> 0);
    const skipped = sequence - ordinal;
    view.setUint8(19, Math.floor(skipped / 0x1_0000_0000));
    view.setUint32(20, skipped >>> 0);
    view.setUint32(24, workerHash);
    view.setUint8(28, Math.floor(workerOrdinal / 0x1_0000_0000));
    view.setUint32(29, workerOrdinal >>> 0);
    view.setUint32(33, jobHash);
    view.setUint32(37, jobOrdinal);
  }

  #scratchToText(target: Uint8Array, at: number): void {
    const bytes = this.#scratch;
    for (let i = 0, o = at; i < byteLength; i += 3, o += 4) {
      const word = ((bytes[i] as number) << 16) | ((bytes[i + 1] as number) << 8) | (bytes[i + 2] as number);
      target[o] = alphabet[word >> 18] as number;
      target[o + 1] = alphabet[(word >> 12) & 63] as number;
      target[o + 2] = alphabet[(word >> 6) & 63] as number;
      target[o + 3] = alphabet[word & 63] as number;
    }
  }
}

/** An error for a well-formed cursor that does not belong here. */
export function unknown(cause: "other_generation" | "other_runtime" | "beyond_head"): TailraceError<"cursor_unknown"> {
  const messages = {
    other_generation: "The cursor belongs to an earlier generation of this log, which was wiped or restored since.",
    other_runtime: "The cursor belongs to another runtime.",
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
