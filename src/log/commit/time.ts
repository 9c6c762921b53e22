/** Field 4 of `tailrace.v1.Event`, a length-delimited message. */
const timeTag = (4 << 3) | 2;
const secondsTag = 1 << 3;
const nanosTag = 2 << 3;

/** Bytes that the longest encoding of a time takes. */
export const maxTimeBytes = 2 + 1 + 10 + 1 + 5;

/** What was encoded last: many groups are of the same millisecond, and it takes longer than anything else in a small one. */
let lastTime = { whole: Number.NaN, bytes: new Uint8Array(0) };

/**
 * Field `time` of an event as encoded in front of what its producer published. Milliseconds since the epoch, from 0. The bytes
 * are not to be changed.
 */
export function encodeTime(timeMs: number): Uint8Array {
  const whole = Math.max(0, Math.floor(timeMs));
  if (whole !== lastTime.whole) lastTime = { whole, bytes: encode(whole) };
  return lastTime.bytes;
}

function encode(whole: number): Uint8Array<ArrayBuffer> {
  const bytes = [timeTag, 0];
  const seconds = Math.floor(whole / 1000);
  const nanos = (whole % 1000) * 1_000_000;
  if (seconds > 0) pushVarint(bytes, secondsTag, seconds);
  if (nanos > 0) pushVarint(bytes, nanosTag, nanos);
  bytes[1] = bytes.length - 2;
  return Uint8Array.from(bytes);
}

function pushVarint(bytes: number[], tag: number, value: number): void {
  bytes.push(tag);
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
}
