const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Bytes that a writer keeps for what is written next. */
const maxKeptBytes = 1024 * 1024;
/** Characters of a text that are looked at one by one, which takes longer for longer ones. */
const maxShortText = 64;

/** Puts numbers, texts and bytes one after the other into memory that grows. Little-endian on every machine. */
export class BinaryWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Bytes of the memory that it holds. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** What was written. Valid until more is. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written, in memory of its own. Whatever is written next begins anew. */
  take(): Uint8Array {
    // Small ones share a pool: memory of its own takes longer than everything that is written to it.
    const { buffer, byteOffset, length } = Buffer.allocUnsafe(this.#length);
    const taken = new Uint8Array(buffer, byteOffset, length);
    taken.set(this.bytes);
    this.clear();
    return taken;
  }

  /** Begins anew. */
  clear(): void {
    this.#length = 0;
    if (this.#bytes.length <= maxKeptBytes) return;
    this.#bytes = new Uint8Array(256);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Makes room for so many bytes more, so that writing them does not take memory again and again. */
  reserve(count: number): void {
    const length = this.#length + count;
    if (length > this.#bytes.length) this.#move(new Uint8Array(length));
  }

  u8(value: number): void {
    const at = this.#advance(1);
    this.#view.setUint8(at, value);
  }

  u32(value: number): void {
    const at = this.#advance(4);
    this.#view.setUint32(at, value, true);
  }

  /** Any number, exactly: whole ones up to 2^53. */
  f64(value: number): void {
    const at = this.#advance(8);
    this.#view.setFloat64(at, value, true);
  }

  /** A whole number from 0 to 2^53, in as few bytes as it needs. */
  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.u8(rest);
  }

  data(value: Uint8Array): void {
    this.u32(value.length);
    this.raw(value);
  }

  /** Bytes whose length the reader knows otherwise. */
  raw(value: Uint8Array): void {
    const at = this.#advance(value.length);
    this.#bytes.set(value, at);
  }

  text(value: string): void {
    if (!this.#ascii(value)) this.data(encoder.encode(value));
  }

  /** Writes a short text whose characters are a byte each; false: it is none, and nothing was written. */
  #ascii(value: string): boolean {
    const { length } = value;
    if (length > maxShortText) return false;
    const from = this.#length;
    this.u32(length);
    const at = this.#advance(length);
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 0x80) {
        this.#length = from;
        return false;
      }
      this.#bytes[at + i] = code;
    }
    return true;
  }

  /** May replace the memory, so it is called before that is looked at. */
  #advance(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) this.#move(new Uint8Array(Math.max(this.#length, this.#bytes.length * 2)));
    return at;
  }

  #move(larger: Uint8Array<ArrayBuffer>): void {
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Reads what `BinaryWriter` wrote. Throws a RangeError where the bytes end too early, a TypeError for broken text. */
export class BinaryReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#advance(8), true);
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  data(): Uint8Array {
    const length = this.u32();
    const from = this.#advance(length);
    // A Buffer's own slice would be a view that keeps the whole file in memory.
    return new Uint8Array(this.#bytes.subarray(from, from + length));
  }

  /** The same as `data`, without a copy: good as long as nobody changes the bytes that are read. */
  view(): Uint8Array {
    const length = this.u32();
    const from = this.#advance(length);
    return this.#bytes.subarray(from, from + length);
  }

  skip(count: number): void {
    this.#advance(count);
  }

  text(): string {
    const bytes = this.view();
    return bytes.length === 0 ? "" : decoder.decode(bytes);
  }

  #advance(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw new RangeError("the bytes end too early");
    this.#at += count;
    return at;
  }
}

/** Memory that is written whole before anyone reads it. Not a Buffer, whose `slice` would share it. */
export function unsetBytes(length: number): Uint8Array {
  const buffer = Buffer.allocUnsafeSlow(length);
  return new Uint8Array(buffer.buffer, buffer.byteOffset, length);
}
