/** Frames as chunks of HTTP/1.1 (RFC 9112, 7.1), cut once for all readers of a frame. */
const chunks = new WeakMap<Uint8Array, Uint8Array>();

const lineEndBytes = 2;

/** Room for a frame of so many bytes, which lies inside its chunk: reading it over HTTP/1.1 costs no copy. */
export function allocateFrame(length: number): Buffer {
  const size = length.toString(16);
  const start = size.length + lineEndBytes;
  const chunk = Buffer.allocUnsafe(start + length + lineEndBytes);
  writeLineEnd(chunk, chunk.write(size, 0, "latin1"));
  writeLineEnd(chunk, start + length);
  const frame = chunk.subarray(start, start + length);
  chunks.set(frame, chunk);
  return frame;
}

/** A frame as a chunk. */
export function chunkOf(frame: Uint8Array): Uint8Array {
  const known = chunks.get(frame);
  if (known !== undefined) return known;
  const copy = allocateFrame(frame.length);
  copy.set(frame);
  const chunk = chunks.get(copy) as Uint8Array;
  chunks.set(frame, chunk);
  return chunk;
}

function writeLineEnd(target: Buffer, at: number): void {
  target[at] = 0x0d;
  target[at + 1] = 0x0a;
}
