import { limits } from "../base/limits.ts";

/** Memory from this size on, in bytes, may serve again: smaller ones Node cuts from one that many share. */
const minSpareBytes = 16 * 1024;
/** Sizes, in bytes, are multiples of the first, and from `largeBytes` on of the second, so that the next one fits. */
const step = 4 * 1024;
const largeStep = 16 * 1024;
const largeBytes = 64 * 1024;

/** What waits for its next use: whole buffers, because what begins further in would shrink with every use. */
const spare: ArrayBuffer[] = [];
let spareBytes = 0;

/** Memory of at least so many bytes, with anything in it. */
export function takeMemory(bytes: number): Buffer {
  if (bytes < minSpareBytes) return Buffer.allocUnsafe(bytes);
  for (let i = spare.length - 1; i >= 0; i--) {
    const memory = spare[i] as ArrayBuffer;
    // What is small must not hold much.
    if (memory.byteLength < bytes || memory.byteLength > bytes * 2) continue;
    spare.splice(i, 1);
    spareBytes -= memory.byteLength;
    return Buffer.from(memory);
  }
  const multiple = bytes < largeBytes ? step : largeStep;
  return Buffer.allocUnsafeSlow(Math.ceil(bytes / multiple) * multiple);
}

/** Gives back what `takeMemory` gave and nobody reads or writes any more. What is small is left to the collector. */
export function giveMemory(memory: Buffer): void {
  const buffer = memory.buffer as ArrayBuffer;
  if (memory.length < minSpareBytes || memory.length !== buffer.byteLength) return;
  spare.push(buffer);
  spareBytes += buffer.byteLength;
  while (spareBytes > limits.spareFrameBytes) spareBytes -= (spare.shift() as ArrayBuffer).byteLength;
}
