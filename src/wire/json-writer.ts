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

/** Text for the hot path: ASCII that is copied as it is. */
export function ascii(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** Appends JSON to bytes that grow. What was appended never changes, so slices of it may be given out. */
export class JsonWriter {
  bytes: Buffer;
  at = 0;
  readonly #digits = new Uint8Array(20);
  readonly #expected: number;

  /** `expected`: bytes that it will need in the end, roughly, if it needs more than `capacity`. */
  constructor(capacity: number, expected = 0) {
    this.#expected = expected;
    this.bytes = Buffer.allocUnsafeSlow(capacity);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.at + count <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * growth, this.at + count, this.#expected));
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
    const digits = this.#digits;
    let rest = value;
    let first = digits.length;
    while (rest > 0x7fff_ffff) {
      digits[--first] = zero + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    do {
      const tenth = (rest / 10) | 0;
      digits[--first] = zero + rest - tenth * 10;
      rest = tenth;
    } while (rest > 0);
    this.reserve(digits.length);
    for (let i = first; i < digits.length; i++) this.bytes[this.at++] = digits[i] as number;
  }

  /** A number with leading zeros up to `width` digits. */
  putPadded(value: number, width: number): void {
    this.reserve(width);
    let rest = value;
    for (let i = this.at + width - 1; i >= this.at; i--) {
      const tenth = (rest / 10) | 0;
      this.bytes[i] = zero + rest - tenth * 10;
      rest = tenth;
    }
    this.at += width;
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
    this.bytes[this.at++] = quote;
    this.at += this.bytes.write(source.toString("base64", from, to), this.at, "latin1");
    this.bytes[this.at++] = quote;
  }

  /** Any text, as UTF-8. */
  putText(text: string): void {
    this.reserve(text.length * 3);
    this.at += this.bytes.write(text, this.at, "utf8");
  }
}
