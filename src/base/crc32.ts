/** CRC-32 (ISO-HDLC, the one of zlib), in plain JavaScript, so that browsers have it too. */

const table = new Uint32Array(256);
for (let i = 0; i < 256; i++) {
  let value = i;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  table[i] = value >>> 0;
}

/** The checksum of all of `bytes`, as an unsigned 32-bit number. */
export function crc32(bytes: Uint8Array): number {
  return finishCrc32(0xffffffff, bytes, 0, bytes.length);
}

/** State after the bytes [from, to), to go on with `finishCrc32` as often as wanted. */
export function startCrc32(bytes: Uint8Array, from: number, to: number): number {
  let crc = 0xffffffff;
  for (let i = from; i < to; i++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[i] as number)) & 0xff] as number);
  return crc;
}

/** The checksum of what `state` has seen followed by the bytes [from, to). */
export function finishCrc32(state: number, bytes: Uint8Array, from: number, to: number): number {
  let crc = state;
  for (let i = from; i < to; i++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[i] as number)) & 0xff] as number);
  return ~crc >>> 0;
}
