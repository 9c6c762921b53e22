import { limits } from "../base/limits.ts";

/** Frames as chunks of HTTP/1.1 (RFC 9112, 7.1), cut once for all readers of a frame. */
const chunks = new WeakMap<Uint8Array, Buffer>();

const lineEndBytes = 2;

/** Chunks from this size on, in bytes, may be used again. Their memory is a multiple of the step, so that the next one fits. */
const minReusedBytes = 64 * 1024;
const reusedStep = 16 * 1024;
/** Chunks that wait for their next use. */
const spare: Buffer[] = [];

/** Room for a frame of so many bytes, which lies inside its chunk: reading it over HTTP/1.1 costs no copy. */
export function allocateFrame(length: number): Buffer {
  const size = length.toString(16);
  const start = size.length + lineEndBytes;
  const chunk = allocateChunk(start + length + lineEndBytes);
  writeLineEnd(chunk, chunk.write(size, 0, "latin1"));
  writeLineEnd(chunk, start + length);
  const frame = chunk.subarray(start, start + length);
  chunks.set(frame, chunk);
  return frame;
}

/**
 * Gives the memory of a frame to those that are allocated later. Only for a frame that nobody, and no socket, reads any
 * more. What was not allocated here, or is small, is left to the collector.
 */
export function reuseFrame(frame: Uint8Array): void {
  const chunk = chunks.get(frame);
  if (chunk === undefined || chunk.length < minReusedBytes) return;
  chunks.delete(frame);
  if (spare.length === limits.spareFrames) spare.shift();
  spare.push(Buffer.from(chunk.buffer, chunk.byteOffset));
}

function allocateChunk(bytes: number): Buffer {
  if (bytes < minReusedBytes) return Buffer.allocUnsafe(bytes);
  for (let i = spare.length - 1; i >= 0; i--) {
    const memory = spare[i] as Buffer;
    // A small frame must not hold much.
    if (memory.length < bytes || memory.length > bytes * 2) continue;
    spare.splice(i, 1);
    return memory.subarray(0, bytes);
  }
  return Buffer.allocUnsafeSlow(Math.ceil(bytes / reusedStep) * reusedStep).subarray(0, bytes);
}

/** Bytes that a chunk needs in front of its frame at the most, and behind it. */
export const chunkHeaderBytes = 8 + lineEndBytes;
export const chunkTrailerBytes = lineEndBytes;

/** The frame at [start, end) of `memory`, which becomes a chunk with what it has before and behind that. */
export function frameWithin(memory: Buffer, start: number, end: number): Buffer {
  const frame = memory.subarray(start, end);
  const size = frame.length.toString(16);
  const begin = start - size.length - lineEndBytes;
  writeLineEnd(memory, begin + memory.write(size, begin, "latin1"));
  writeLineEnd(memory, end);
  chunks.set(frame, memory.subarray(begin, end + lineEndBytes));
  return frame;
}

/** A frame as a chunk. */
export function chunkOf(frame: Uint8Array): Uint8Array {
  const known = chunks.get(frame);
  if (known !== undefined) return known;
  const copy = allocateFrame(frame.length);
  copy.set(frame);
  const chunk = chunks.get(copy) as Buffer;
  chunks.set(frame, chunk);
  return chunk;
}

function writeLineEnd(target: Buffer, at: number): void {
  target[at] = 0x0d;
  target[at + 1] = 0x0a;
}
