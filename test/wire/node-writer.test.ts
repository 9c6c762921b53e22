import { EventEmitter } from "node:events";
import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../src/base/clock.ts";
import { ByteWriter, pieceBytes, piecesAtOnce } from "../../src/wire/node-writer.ts";

/** A socket that takes `room` bytes before it wants to drain. */
class Target extends EventEmitter {
  destroyed = false;
  ended = false;
  flushed = false;
  room = Number.POSITIVE_INFINITY;
  readonly written: Uint8Array[] = [];

  write(bytes: Uint8Array): boolean {
    if (this.ended || this.destroyed) throw new Error("written after the end");
    this.written.push(bytes);
    this.room -= bytes.length;
    return this.room > 0;
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }

  drain(room = Number.POSITIVE_INFINITY): void {
    this.room = room;
    this.emit("drain");
  }

  /** Whether nobody waits for it to drain. */
  get idle(): boolean {
    return this.room > 0;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.written);
  }
}

const stallTimeoutMs = 1000;

describe("the byte writer", () => {
  let clock: ManualClock;
  let target: Target;
  let drains: number;
  let gone: number;
  let writer: ByteWriter;

  beforeEach(() => {
    clock = new ManualClock();
    target = new Target();
    drains = 0;
    gone = 0;
    writer = create();
  });

  function create(): ByteWriter {
    return new ByteWriter({
      target,
      clock,
      stallTimeoutMs,
      onDrain: () => drains++,
      onGone: () => gone++,
    });
  }

  function listeners(): number {
    return ["drain", "close"].reduce((sum, name) => sum + target.listenerCount(name), 0);
  }

  it("holds no timer while the reader keeps up", () => {
    expect(writer.write(Buffer.from("a"))).toBe(true);
    expect(writer.write(Buffer.from("b"))).toBe(true);
    expect(target.bytes.toString()).toBe("ab");
    expect(clock.pending).toBe(0);
  });

  it("stops at backpressure and says when to go on", () => {
    target.room = 1;
    expect(writer.write(Buffer.from("ab"))).toBe(false);
    expect(drains).toBe(0);
    target.drain();
    expect(drains).toBe(1);
    expect(clock.pending).toBe(0);
    target.emit("drain");
    expect(drains).toBe(1);
  });

  it("gives a large frame in pieces, in order, and drains once after the last", () => {
    const frame = Buffer.alloc(5 * pieceBytes, 1).map((_, index) => index % 251);
    target.room = 1;
    expect(writer.write(frame)).toBe(false);
    expect(target.bytes.length).toBe(pieceBytes);
    let steps = 0;
    while (target.bytes.length < frame.length) {
      target.drain(1);
      steps++;
    }
    expect(steps).toBe(4);
    expect(drains).toBe(0);
    target.drain();
    expect(drains).toBe(1);
    expect(target.bytes.equals(frame)).toBe(true);
  });

  it("gives several pieces at once to a reader that keeps up, and single ones again once it does not", () => {
    const large = piecesAtOnce * pieceBytes;
    const given: number[] = [];
    const write = target.write.bind(target);
    target.write = (bytes) => {
      given.push(bytes.length);
      return write(bytes);
    };
    target.room = 100 * large;
    writer.write(Buffer.alloc(pieceBytes));
    writer.write(Buffer.alloc(pieceBytes + 2));
    writer.write(Buffer.alloc(large + 3));
    expect(given.splice(0)).toEqual([pieceBytes, pieceBytes, 2, large, 3]);
    target.drain();
    target.room = 1;
    expect(writer.write(Buffer.alloc(large + pieceBytes + 4))).toBe(false);
    target.drain(1);
    target.drain(1);
    expect(given.splice(0)).toEqual([large, pieceBytes, 4]);
    target.drain(100 * large);
    writer.write(Buffer.alloc(pieceBytes));
    writer.write(Buffer.alloc(2 * pieceBytes));
    expect(given.splice(0)).toEqual([pieceBytes, pieceBytes, pieceBytes]);
    writer.write(Buffer.alloc(2 * pieceBytes));
    expect(given.splice(0)).toEqual([2 * pieceBytes]);
    target.room = 1;
    expect(writer.write(Buffer.alloc(1))).toBe(false);
    target.drain(100 * large);
    writer.write(Buffer.alloc(2 * pieceBytes));
    expect(given).toEqual([1, pieceBytes, pieceBytes]);
  });

  it("loses and repeats nothing, at whatever byte the reader holds it up", () => {
    const piece = pieceBytes;
    const around = [-2, -1, 0, 1, 2].flatMap((more) => [1, 2, 3, piecesAtOnce].map((pieces) => pieces * piece + more));
    const lengths = [1, 2, 7, 100, 255, 256, ...around];
    for (const room of [1, 2, 99, 100, 101, 300, piece - 1, piece, piece + 1, 2 * piece, 5 * piece]) {
      target = new Target();
      target.room = room;
      let next = 0;
      const writeOn = (): void => {
        while (next < lengths.length) if (!writer.write(Buffer.alloc(lengths[next] as number, next++ + 1))) return;
      };
      writer = new ByteWriter({ target, clock, stallTimeoutMs, onDrain: writeOn, onGone: () => gone++ });
      writeOn();
      for (let drained = 0; next < lengths.length || !target.idle; drained++) {
        expect(drained).toBeLessThan(10_000);
        target.drain(room);
      }
      const expected = Buffer.concat(lengths.map((length, index) => Buffer.alloc(length, index + 1)));
      expect(target.bytes.equals(expected)).toBe(true);
      target.destroy();
    }
  });

  it("loses and repeats nothing, held up at every byte of its frames", () => {
    const frames = Array.from({ length: 12 }, (_, index) => Buffer.alloc(1 + ((index * 7) % 23), index + 1));
    const expected = Buffer.concat(frames);
    for (let room = 1; room <= expected.length + 1; room++) {
      target = new Target();
      target.room = room;
      let next = 0;
      const writeOn = (): void => {
        while (next < frames.length) if (!writer.write(frames[next++] as Buffer)) return;
      };
      writer = new ByteWriter({ target, clock, stallTimeoutMs, onDrain: writeOn, onGone: () => gone++ });
      writeOn();
      while (next < frames.length) target.drain(room);
      expect(target.bytes.equals(expected)).toBe(true);
      target.destroy();
    }
  });

  it("says that it is flushed only if its target does, and nothing is left to write", () => {
    expect(writer.flushed).toBe(false);
    target.flushed = true;
    expect(writer.flushed).toBe(true);
    target.room = 1;
    writer.write(Buffer.alloc(4 * pieceBytes));
    expect(writer.flushed).toBe(false);
    for (let pieces = 1; pieces < 4; pieces++) {
      expect(writer.flushed).toBe(false);
      target.drain(1);
    }
    expect(writer.flushed).toBe(true);
    target.flushed = false;
    expect(writer.flushed).toBe(false);
    target.flushed = true;
    target.destroy();
    expect(writer.flushed).toBe(false);
  });

  it("cuts off a reader that takes nothing", () => {
    target.room = 1;
    writer.write(Buffer.from("ab"));
    clock.advance(stallTimeoutMs - 1);
    expect(target.destroyed).toBe(false);
    clock.advance(1);
    expect(target.destroyed).toBe(true);
    expect(gone).toBe(1);
    expect(listeners()).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it("keeps a reader that takes one piece at a time", () => {
    target.room = 1;
    writer.write(Buffer.alloc(256 * 1024));
    for (let i = 0; i < 3; i++) {
      clock.advance(stallTimeoutMs - 1);
      target.drain(1);
    }
    expect(target.destroyed).toBe(false);
    clock.advance(stallTimeoutMs);
    expect(target.destroyed).toBe(true);
  });

  it("leaves nothing behind when a blocked reader's socket dies", () => {
    target.room = 1;
    writer.write(Buffer.alloc(256 * 1024));
    target.destroy();
    expect(gone).toBe(1);
    expect(listeners()).toBe(0);
    expect(clock.pending).toBe(0);
    expect(drains).toBe(0);
    expect(writer.write(Buffer.from("x"))).toBe(false);
  });

  it("hears of a socket that died before", async () => {
    const late = new Target();
    late.destroyed = true;
    target = late;
    create();
    await Promise.resolve();
    expect(gone).toBe(1);
    expect(listeners()).toBe(0);
  });

  it("keeps the order where a last frame comes while the reader is behind", () => {
    target.room = 1;
    writer.write(Buffer.alloc(100 * 1024, "a"));
    expect(writer.write(Buffer.from("last"))).toBe(false);
    writer.end();
    target.drain();
    expect(target.bytes.subarray(-5).toString()).toBe("alast");
    expect(target.bytes.length).toBe(100 * 1024 + 4);
    expect(target.ended).toBe(true);
  });

  it("ends after everything that was written", () => {
    target.room = 1;
    writer.write(Buffer.alloc(100 * 1024));
    writer.end();
    expect(target.ended).toBe(false);
    target.drain();
    expect(target.ended).toBe(true);
    expect(target.bytes.length).toBe(100 * 1024);
    expect(drains).toBe(0);
  });

  it("cuts off a reader that never takes the end", () => {
    target.room = 1;
    writer.write(Buffer.from("ab"));
    writer.end();
    expect(target.ended).toBe(true);
    clock.advance(stallTimeoutMs);
    expect(target.destroyed).toBe(true);
    // Its stream was over: nobody waits to hear of it.
    expect(gone).toBe(0);
    expect(clock.pending).toBe(0);
    expect(listeners()).toBe(0);
  });

  it("lets go of its timer when the target closes after the end", () => {
    writer.write(Buffer.from("a"));
    writer.end();
    expect(clock.pending).toBe(1);
    target.destroy();
    expect(clock.pending).toBe(0);
  });

  it("survives an error of the socket", () => {
    target.destroy();
    expect(() => target.emit("error", new Error("write EPIPE"))).not.toThrow();
  });
});
