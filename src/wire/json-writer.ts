import { takeMemory } from "./spare-memory.ts";

/** What JSON.stringify makes of a character of one byte; undefined: itself. */
const escapes: readonly (Uint8Array | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x80) return undefined;
  const text = JSON.stringify(String.fromCharCode(byte)).slice(1, -1);
  return text.length === 1 ? undefined : Buffer.from(text, "latin1");
});
/** Bytes that a byte takes. */
const escapedBytes = Uint8Array.from(escapes, (escaped) => escaped?.length ?? 1);
/** By how much bytes grow, at least. */
const growth = 1.5;

const quote = 0x22;
const zero = 0x30;
const padding = 0x3d;

const alphabet = Uint8Array.from(
  Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "latin1"),
);
/** Bytes from which on Node's own base64 is faster, with a string that it leaves behind. */
const longBase64 = 1024;

/** Numbers are written in two parts that are whole 32-bit ones. */
const lowDigits = 9;
const lowPart = 1_000_000_000;

/** Digits of a number below 2^31. */
function digitsOf(value: number): number {
  let digits = 1;
  for (let bound = 10; digits < 10 && value >= bound; bound *= 10) digits++;
  return digits;
}

/** Text for the hot path: ASCII that is copied as it is. */
export function ascii(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** Appends JSON to bytes that grow. What was appended never changes, so slices of it may be given out. */
export class JsonWriter {
  bytes: Buffer;
  at = 0;
  readonly #expected: number;

  /** `expected`: bytes that it will need in the end, roughly, if it needs more than `capacity`. */
  constructor(capacity: number, expected = 0) {
    this.#expected = expected;
    this.bytes = takeMemory(capacity);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.at + count <= this.bytes.length) return;
    const grown = takeMemory(Math.max(Math.ceil(this.bytes.length * growth), this.at + count, this.#expected));
    this.bytes.copy(grown, 0, 0, this.at);
    this.bytes = grown;
  }

  put(text: Uint8Array): void {
    this.reserve(text.length);
    const { bytes } = this;
    let { at } = this;
    for (let i = 0; i < text.length; i++) bytes[at++] = text[i] as number;
    this.at = at;
  }

  putByte(byte: number): void {
    this.reserve(1);
    this.bytes[this.at++] = byte;
  }

  /** A whole number from 0 to 2^53 - 1 in decimal. */
  putNumber(value: number): void {
    if (value < lowPart) {
      this.putPadded(value, digitsOf(value));
      return;
    }
    const high = Math.floor(value / lowPart);
    this.putPadded(high, digitsOf(high));
    this.putPadded(value - high * lowPart, lowDigits);
  }

  /** A number below 2^31 with leading zeros up to `width` digits. */
  putPadded(value: number, width: number): void {
    this.reserve(width);
    const { bytes, at } = this;
    let rest = value | 0;
    for (let i = at + width - 1; i >= at; i--) {
      const tenth = (rest / 10) | 0;
      bytes[i] = zero + rest - tenth * 10;
      rest = tenth;
    }
    this.at = at + width;
  }

  /** The UTF-8 bytes [from, to) of `source` as a JSON string, quotes included. */
  putString(source: Buffer, from: number, to: number): void {
    let plain = from;
    while (plain < to && escapedBytes[source[plain] as number] === 1) plain++;
    let restBytes = 0;
    for (let i = plain; i < to; i++) restBytes += escapedBytes[source[i] as number] as number;
    this.reserve(plain - from + restBytes + 2);
    const { bytes } = this;
    let { at } = this;
    bytes[at++] = quote;
    source.copy(bytes, at, from, plain);
    at += plain - from;
    for (let i = plain; i < to; i++) {
      const byte = source[i] as number;
      const escaped = escapes[byte];
      if (escaped === undefined) bytes[at++] = byte;
      else for (let k = 0; k < escaped.length; k++) bytes[at++] = escaped[k] as number;
    }
    bytes[at++] = quote;
    this.at = at;
  }

  /** The bytes [from, to) of `source` as a JSON string in base64, quotes included. */
  putBase64(source: Buffer, from: number, to: number): void {
    this.reserve(Math.ceil((to - from) / 3) * 4 + 2);
    const { bytes } = this;
    let { at } = this;
    bytes[at++] = quote;
    if (to - from > longBase64) at += bytes.write(source.toString("base64", from, to), at, "latin1");
    else {
      // By way of a string, this is most of what an event leaves to the collector.
      let i = from;
      for (; i + 3 <= to; i += 3, at += 4) {
        const word = ((source[i] as number) << 16) | ((source[i + 1] as number) << 8) | (source[i + 2] as number);
        bytes[at] = alphabet[word >> 18] as number;
        bytes[at + 1] = alphabet[(word >> 12) & 63] as number;
        bytes[at + 2] = alphabet[(word >> 6) & 63] as number;
        bytes[at + 3] = alphabet[word & 63] as number;
      }
      const rest = to - i;
      if (rest > 0) {
        const word = ((source[i] as number) << 16) | (rest === 2 ? (source[i + 1] as number) << 8 : 0);
        bytes[at] = alphabet[word >> 18] as number;
        bytes[at + 1] = alphabet[(word >> 12) & 63] as number;
        bytes[at + 2] = rest === 2 ? (alphabet[(word >> 6) & 63] as number) : padding;
        bytes[at + 3] = padding;
        at += 4;
      }
    }
    bytes[at++] = quote;
    this.at = at;
  }

  /** Any text, as UTF-8. */
  putText(text: string): void {
    this.reserve(text.length * 3);
    this.at += this.bytes.write(text, this.at, "utf8");
  }
}
