import { describe, expect, it } from "vitest";
import { limits } from "../../src/base/limits.ts";
import {
  allocateFrame,
  chunkHeaderBytes,
  chunkOf,
  chunkTrailerBytes,
  frameWithin,
  reuseFrame,
} from "../../src/wire/chunk.ts";

const large = 200 * 1024;

function textOf(chunk: Uint8Array): string {
  return Buffer.from(chunk).toString("latin1");
}

describe("a frame", () => {
  it.each([1, 15, 16, 4_096, large])("of %i bytes lies in its chunk", (length) => {
    const frame = allocateFrame(length).fill("x");
    expect(textOf(chunkOf(frame))).toBe(`${length.toString(16)}\r\n${"x".repeat(length)}\r\n`);
    expect(chunkOf(frame)).toBe(chunkOf(frame));
  });

  it("that was not made here is put into a chunk once", () => {
    const frame = Buffer.from("abc");
    expect(textOf(chunkOf(frame))).toBe("3\r\nabc\r\n");
    expect(chunkOf(frame)).toBe(chunkOf(frame));
  });

  it("becomes a chunk where it lies, and nothing around it changes but for the room that is meant for that", () => {
    for (const length of [1, 15, 16, 255, 4_096, 70_000]) {
      const memory = Buffer.alloc(chunkHeaderBytes + length + chunkTrailerBytes + 20, "-");
      memory.fill("x", chunkHeaderBytes, chunkHeaderBytes + length);
      const frame = frameWithin(memory, chunkHeaderBytes, chunkHeaderBytes + length);
      expect(frame.buffer).toBe(memory.buffer);
      expect(textOf(frame)).toBe("x".repeat(length));
      expect(textOf(chunkOf(frame))).toBe(`${length.toString(16)}\r\n${"x".repeat(length)}\r\n`);
      expect(textOf(memory.subarray(chunkHeaderBytes + length + chunkTrailerBytes))).toBe("-".repeat(20));
    }
  });

  it("shares its memory with none as long as it is in use", () => {
    const frames = Array.from({ length: 12 }, (_, i) => allocateFrame(large).fill(i));
    const memories = new Set(frames.map((frame) => frame.buffer));
    expect(memories.size).toBe(frames.length);
    for (const [i, frame] of frames.entries()) expect(frame.every((byte) => byte === i)).toBe(true);
  });

  it("gives its memory on when nobody reads it any more, and to one frame only", () => {
    const frame = allocateFrame(large);
    const { buffer } = frame;
    reuseFrame(frame);
    reuseFrame(frame);
    const next = Array.from({ length: 8 }, () => allocateFrame(large - 100));
    expect(next.filter((one) => one.buffer === buffer)).toHaveLength(1);
    for (const one of next) {
      one.fill("y");
      expect(textOf(chunkOf(one))).toBe(`${one.length.toString(16)}\r\n${"y".repeat(one.length)}\r\n`);
    }
  });

  it("never gets memory that is too small for it, nor much that is too large", () => {
    const small = allocateFrame(100 * 1024);
    const huge = allocateFrame(900 * 1024);
    reuseFrame(small);
    reuseFrame(huge);
    const frame = allocateFrame(large);
    expect([small.buffer, huge.buffer]).not.toContain(frame.buffer);
    expect(frame.length).toBe(large);
  });

  it("leaves memory that is not its own alone", () => {
    const shared = Buffer.alloc(large * 2);
    reuseFrame(shared.subarray(0, large));
    // Small ones lie in memory that Node shares out.
    const few = allocateFrame(100);
    reuseFrame(few);
    const next = Array.from({ length: 8 }, () => allocateFrame(large));
    for (const one of next) expect([shared.buffer, few.buffer]).not.toContain(one.buffer);
  });

  it("that waits to be used again is one of few", () => {
    const most = Math.floor(limits.spareFrameBytes / large);
    const frames = Array.from({ length: most * 3 }, () => allocateFrame(large));
    const memories = new Set(frames.map((frame) => frame.buffer));
    for (const frame of frames) reuseFrame(frame);
    const next = Array.from({ length: most * 3 }, () => allocateFrame(large));
    const again = next.filter((frame) => memories.has(frame.buffer)).length;
    expect(again).toBeGreaterThan(0);
    expect(again).toBeLessThanOrEqual(most);
  });
});
