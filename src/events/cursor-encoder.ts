import { crc32, finishCrc32, startCrc32 } from "../base/crc32.ts";
import { TailraceError } from "../base/errors.ts";

/** Where the fields of a cursor lie, big-endian: version and flags 1, runtime 4, generation 7, then what changes. */
export const cursorLayout = {
  runtime: 1,
  generation: 5,
  epoch: 12,
  sequence: 15,
  skipped: 21,
  workerHash: 27,
  workerOrdinal: 31,
  jobHash: 36,
  jobOrdinal: 40,
  checksum: 44,
  bytes: 48,
} as const;

/** The largest sequence that a cursor has room for, and so the most that can have been left out before it. */
const maxSequence = 2 ** 48 - 1;

/** Characters of every cursor. A multiple of 4, so that no unused bits make two texts of one cursor. */
export const cursorLength = 64;

export const alphabet = new TextEncoder().encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

const { epoch: prefixLength, checksum: checkedLength } = cursorLayout;

/** Two characters of text, in the order of this machine's bytes, for every 12 bits. */
const pairs = new Uint16Array(1 << 12);
const pairBytes = new Uint8Array(pairs.buffer);
for (let i = 0; i < pairs.length; i++) {
  pairBytes[2 * i] = alphabet[i >> 6] as number;
  pairBytes[2 * i + 1] = alphabet[i & 63] as number;
}

/** What a byte at a place behind the prefix changes in the checksum. All of them together are independent of each other. */
const effects = effectsOfBytes();

/**
 * Writes the cursors of one runtime and generation. Neighbouring events share most of theirs, and a checksum is the sum of
 * what its bytes change, so only what is new since the last cursor is worked out: a quarter of the time, in the place where
 * a replay spends most of it.
 */
export class CursorEncoder {
  /** The cursor that was written last. */
  readonly #bytes = new Uint8Array(cursorLayout.bytes);
  readonly #text = new Uint8Array(cursorLength);
  readonly #pairs = new Uint16Array(this.#text.buffer);
  /** Checksum of a cursor that is zero behind its prefix. */
  readonly #crcOfPrefix: number;
  /** What the upper parts of the last cursor change in it. */
  #crcOfEpoch = 0;
  #crcOfPlace = 0;
  #crcOfWorker = 0;
  #crcOfJob = 0;
  #sequenceHigh = 0;
  #skipped = 0;
  #workerHash = 0;
  #workerHigh = 0;
  #jobHash = 0;
  #jobHigh = 0;

  /** `prefix`: the bytes that are the same in every cursor. */
  constructor(prefix: Uint8Array) {
    this.#bytes.set(prefix);
    this.#crcOfPrefix = finishCrc32(startCrc32(prefix, 0, prefixLength), this.#bytes, prefixLength, checkedLength);
    writeText(this.#bytes, this.#text);
  }

  /** The cursors that come are of positions in the epoch with this tag. Before the first call: 0. */
  setEpoch(tag: number): void {
    this.#setBytes(cursorLayout.epoch, 3, tag);
    this.#crcOfEpoch = this.#effectOfBytes(12, 15);
    this.#writeGroup(4);
  }

  /** @throws TailraceError `limit_exceeded` for a sequence beyond the last one. */
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
    const sequenceHigh = Math.floor(sequence / 0x1_0000);
    const skipped = sequence - ordinal;
    if (sequenceHigh !== this.#sequenceHigh || skipped !== this.#skipped) this.#setPlace(sequenceHigh, skipped);
    const workerHigh = Math.floor(workerOrdinal / 0x1_0000);
    if (workerHash !== this.#workerHash || workerHigh !== this.#workerHigh) this.#setWorker(workerHash, workerHigh);
    const jobHigh = jobOrdinal >>> 16;
    if (jobHash !== this.#jobHash || jobHigh !== this.#jobHigh) this.#setJob(jobHash, jobHigh);

    const bytes = this.#bytes;
    const s1 = (sequence >>> 8) & 0xff;
    const s0 = sequence & 0xff;
    const w1 = (workerOrdinal >>> 8) & 0xff;
    const w0 = workerOrdinal & 0xff;
    const j1 = (jobOrdinal >>> 8) & 0xff;
    const j0 = jobOrdinal & 0xff;
    const crc =
      this.#crcOfPrefix ^
      this.#crcOfEpoch ^
      this.#crcOfPlace ^
      this.#crcOfWorker ^
      this.#crcOfJob ^
      effectOf(19, s1) ^
      effectOf(20, s0) ^
      effectOf(34, w1) ^
      effectOf(35, w0) ^
      effectOf(42, j1) ^
      effectOf(43, j0);
    bytes[19] = s1;
    bytes[20] = s0;
    bytes[34] = w1;
    bytes[35] = w0;
    bytes[42] = j1;
    bytes[43] = j0;
    bytes[44] = crc >>> 24;
    bytes[45] = crc >>> 16;
    bytes[46] = crc >>> 8;
    bytes[47] = crc;
    this.#writeGroup(6);
    this.#writeGroup(11);
    this.#writeGroup(14);
    this.#writeGroup(15);
    target.set(this.#text, at);
  }

  /** Writes the cursor that was written last into `target` once more, with other flags. */
  repeatWithFlags(target: Uint8Array, head: number): void {
    const bytes = this.#bytes.slice();
    bytes[0] = head;
    new DataView(bytes.buffer).setUint32(checkedLength, crc32(bytes.subarray(0, checkedLength)));
    writeText(bytes, target);
  }

  #setPlace(sequenceHigh: number, skipped: number): void {
    // Cut to its bytes it would be another position.
    if (sequenceHigh * 0x1_0000 > maxSequence) throw noSuchSequence();
    this.#sequenceHigh = sequenceHigh;
    this.#skipped = skipped;
    this.#setBytes(cursorLayout.sequence, 4, sequenceHigh);
    this.#setBytes(cursorLayout.skipped, 6, skipped);
    this.#crcOfPlace = this.#effectOfBytes(15, 19) ^ this.#effectOfBytes(21, 27);
    for (let group = 5; group <= 8; group++) this.#writeGroup(group);
  }

  #setWorker(hash: number, high: number): void {
    this.#workerHash = hash;
    this.#workerHigh = high;
    // Byte by byte: with many workers it happens for nearly every event.
    const bytes = this.#bytes;
    bytes[27] = hash >>> 24;
    bytes[28] = hash >>> 16;
    bytes[29] = hash >>> 8;
    bytes[30] = hash;
    bytes[31] = high >>> 16;
    bytes[32] = high >>> 8;
    bytes[33] = high;
    this.#crcOfWorker =
      effectOf(27, hash >>> 24) ^
      effectOf(28, (hash >>> 16) & 0xff) ^
      effectOf(29, (hash >>> 8) & 0xff) ^
      effectOf(30, hash & 0xff) ^
      effectOf(31, high >>> 16) ^
      effectOf(32, (high >>> 8) & 0xff) ^
      effectOf(33, high & 0xff);
    this.#writeGroup(9);
    this.#writeGroup(10);
  }

  #setJob(hash: number, high: number): void {
    this.#jobHash = hash;
    this.#jobHigh = high;
    this.#setBytes(cursorLayout.jobHash, 4, hash);
    this.#setBytes(cursorLayout.jobOrdinal, 2, high);
    this.#crcOfJob = this.#effectOfBytes(36, 42);
    this.#writeGroup(12);
    this.#writeGroup(13);
  }

  #setBytes(at: number, count: number, value: number): void {
    const bytes = this.#bytes;
    let rest = value;
    for (let i = at + count - 1; i >= at; i--) {
      bytes[i] = rest % 0x100;
      rest = Math.floor(rest / 0x100);
    }
  }

  #effectOfBytes(from: number, to: number): number {
    let crc = 0;
    for (let i = from; i < to; i++) crc ^= effectOf(i, this.#bytes[i] as number);
    return crc;
  }

  /** Three bytes as four characters. */
  #writeGroup(group: number): void {
    const bytes = this.#bytes;
    const at = group * 3;
    const word = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
    this.#pairs[group * 2] = pairs[word >> 12] as number;
    this.#pairs[group * 2 + 1] = pairs[word & 0xfff] as number;
  }
}

function noSuchSequence(): TailraceError<"limit_exceeded"> {
  return new TailraceError(
    "limit_exceeded",
    { limit: "maxSequence", maximum: maxSequence },
    "The log has given out its last sequence. Begin another one.",
  );
}

function effectOf(place: number, byte: number): number {
  return effects[(place - prefixLength) * 256 + byte] as number;
}

/** A checksum is linear: with a state of zero, a byte changes it the same whatever is beside it. */
function effectsOfBytes(): Uint32Array {
  const places = checkedLength - prefixLength;
  const table = new Uint32Array(places * 256);
  const bytes = new Uint8Array(places);
  const nothing = finishCrc32(0, bytes, 0, places);
  for (let place = 0; place < places; place++) {
    for (let byte = 0; byte < 256; byte++) {
      bytes[place] = byte;
      table[place * 256 + byte] = finishCrc32(0, bytes, place, places) ^ nothing;
    }
    bytes[place] = 0;
  }
  return table;
}

function writeText(bytes: Uint8Array, target: Uint8Array): void {
  for (let i = 0, o = 0; i < cursorLayout.bytes; i += 3, o += 4) {
    const word = ((bytes[i] as number) << 16) | ((bytes[i + 1] as number) << 8) | (bytes[i + 2] as number);
    target[o] = alphabet[word >> 18] as number;
    target[o + 1] = alphabet[(word >> 12) & 63] as number;
    target[o + 2] = alphabet[(word >> 6) & 63] as number;
    target[o + 3] = alphabet[word & 63] as number;
  }
}
