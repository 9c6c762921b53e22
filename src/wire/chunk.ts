import { giveMemory, takeMemory } from "./spare-memory.ts";

/** Frames as chunks of HTTP/1.1 (RFC 9112, 7.1), cut once for all readers of a frame. */
const chunks = new WeakMap<Uint8Array, Buffer>();

/** What frames lie in that have it for themselves. */
const memories = new WeakMap<Uint8Array, Buffer>();

const lineEndBytes = 2;

/** Room for a frame of so many bytes, which lies inside its chunk: reading it over HTTP/1.1 costs no copy. */
export function allocateFrame(length: number): Buffer {
  const size = length.toString(16);
  const start = size.length + lineEndBytes;
  const end = start + length;
  const memory = takeMemory(end + lineEndBytes);
  writeLineEnd(memory, memory.write(size, 0, "latin1"));
  writeLineEnd(memory, end);
  const frame = memory.subarray(start, end);
  chunks.set(frame, memory.subarray(0, end + lineEndBytes));
  memories.set(frame, memory);
  return frame;
}

/**
 * Gives the memory of a frame to those that are allocated later. Only for a frame that nobody, and no socket, reads any
 * more. What lies in memory that is not known to be its own, or is small, is left to the collector.
 */
export function reuseFrame(frame: Uint8Array): void {
  const memory = memories.get(frame);
  if (memory === undefined) return;
  memories.delete(frame);
  chunks.delete(frame);
  giveMemory(memory);
}

/** Says that nothing but the frame is read from `memory`, which `takeMemory` gave, and that nothing is written to it. */
export function ownMemory(frame: Uint8Array, memory: Buffer): void {
  memories.set(frame, memory);
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
