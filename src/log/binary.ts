const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Puts numbers, texts and bytes one after the other into memory that grows. Little-endian on every machine. */
export class BinaryWriter {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was written. Valid until more is. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
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
    this.data(encoder.encode(value));
  }

  /** May replace the memory, so it is called before that is looked at. */
  #advance(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
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

  text(): string {
    return decoder.decode(this.data());
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
