import { expect, test } from "vitest";
import { limits } from "../../src/base/limits.ts";
import type { EventBlock } from "../../src/log/block.ts";
import type { WireForm } from "../../src/stream/form.ts";
import type { WatchSpec } from "../../src/stream/spec.ts";
import { CreditSink, type NumberFrame, numberForm } from "./number-form.ts";
import { TailWorld, wholeLog } from "./world.ts";

/** Takes a frame at a time, and says whether it is out of its hands. */
class FlushingSink extends CreditSink {
  flushed = true;
  readonly frames: NumberFrame[] = [];

  override write(frame: NumberFrame): boolean {
    if ("sequences" in frame) this.frames.push(frame);
    return super.write(frame);
  }
}

class ReuseWorld extends TailWorld {
  readonly reused: NumberFrame[] = [];
  readonly #form: WireForm<EventBlock, NumberFrame>;

  constructor(frameBytes = 100, entryBytes = 1) {
    super();
    this.#form = {
      ...numberForm("numbers", frameBytes),
      entrySize: () => entryBytes,
      reuse: (frame: NumberFrame) => {
        this.reused.push(frame);
      },
    };
  }

  async read(sink: FlushingSink): Promise<AbortController> {
    const reader = new AbortController();
    sink.watch = await this.tail.open(wholeLog, this.#form, sink, reader.signal);
    await this.rest();
    return reader;
  }

  async replay(...sinks: FlushingSink[]): Promise<void> {
    for (let i = 0; i < 30; i++) {
      for (const sink of sinks) sink.grant(1);
      await this.rest();
    }
  }
}

const count = 6_000;
const all = Array.from({ length: count }, (_, i) => i + 1);

/** A world with events to replay, and a log that begins before them. */
async function filled(): Promise<ReuseWorld> {
  const world = new ReuseWorld();
  await world.publish("a", count);
  return world;
}

test("the frames of a reader that is alone are used again once they are out of its sink's hands", async () => {
  const world = await filled();
  const sink = new FlushingSink(1);
  await world.read(sink);
  await world.replay(sink);
  expect(sink.sequences).toEqual(all);
  expect(world.reused.length).toBeGreaterThan(2);
  expect(world.reused).toEqual(sink.frames.slice(0, world.reused.length));
});

test("a frame that may still be on its way is never used again", async () => {
  const world = await filled();
  const sink = new FlushingSink(1);
  sink.flushed = false;
  await world.read(sink);
  await world.replay(sink);
  expect(sink.sequences).toEqual(all);
  expect(world.reused).toEqual([]);
});

test("a frame that readers share is never used again", async () => {
  const world = await filled();
  const [a, b] = [new FlushingSink(1), new FlushingSink(1)];
  await Promise.all([world.read(a), world.read(b)]);
  await world.replay(a, b);
  expect(a.sequences).toEqual(all);
  expect(b.sequences).toEqual(all);
  expect(a.frames.some((frame) => b.frames.includes(frame))).toBe(true);
  const shared = a.frames.filter((frame) => b.frames.includes(frame));
  for (const frame of world.reused) expect(shared).not.toContain(frame);
});

test("a reader is alone again when the other one leaves, or is live", async () => {
  const world = await filled();
  const [a, b] = [new FlushingSink(1), new FlushingSink(1)];
  await world.read(a);
  const leave = await world.read(b);
  leave.abort();
  await world.replay(a);
  expect(a.sequences).toEqual(all);
  const before = world.reused.length;
  expect(before).toBeGreaterThan(2);
  // `a` is live by now.
  const c = new FlushingSink(1);
  await world.read(c);
  await world.replay(c);
  expect(c.sequences).toEqual(all);
  expect(world.reused.length).toBeGreaterThan(before);
});

test("no frame that a live watch may still ask for is used again", async () => {
  const world = new ReuseWorld();
  const [a, b] = [new FlushingSink(), new FlushingSink()];
  await Promise.all([world.read(a), world.read(b)]);
  for (let i = 0; i < 10; i++) {
    await world.publish("a", 600);
    await world.rest();
  }
  expect(a.sequences).toEqual(all);
  expect(b.sequences).toEqual(all);
  expect(world.reused).toEqual([]);
});

/** A world in which the tail keeps the newest three live frames. */
function small(): ReuseWorld {
  return new ReuseWorld(limits.tailFrameBytes / 4);
}

/** Frames of the sequences [`from`, `to`), each with one. */
function numbers(from: number, to: number): NumberFrame[] {
  return Array.from({ length: to - from }, (_, i) => ({ sequences: [from + i] }));
}

async function publishEach(world: ReuseWorld, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await world.publish("a");
    await world.rest();
  }
}

test("frames that the tail keeps no longer are used again, each once, when all live watches have sent them", async () => {
  const world = small();
  const sinks = [new FlushingSink(), new FlushingSink()];
  for (const sink of sinks) await world.read(sink);
  await publishEach(world, 9);
  for (const sink of sinks) expect(sink.sequences).toEqual(all.slice(0, 9));
  expect(world.reused).toEqual(numbers(1, 7));
});

test("a frame that the socket of one live watch may still read is not used again, nor any after it", async () => {
  const world = small();
  const [fast, slow] = [new FlushingSink(), new FlushingSink()];
  await world.read(fast);
  await world.read(slow);
  await publishEach(world, 2);
  slow.flushed = false;
  await publishEach(world, 7);
  // It was given the second when the first was out of its hands.
  expect(world.reused).toEqual(numbers(1, 2));
  slow.flushed = true;
  await publishEach(world, 3);
  expect(fast.sequences).toEqual(all.slice(0, 12));
  expect(slow.sequences).toEqual(all.slice(0, 12));
  // What was dropped meanwhile stays as it is.
  expect(world.reused).toEqual([...numbers(1, 2), ...numbers(7, 10)]);
});

test("a frame that the socket of a watch which left may still read is never used again", async () => {
  const world = small();
  const [stays, leaves] = [new FlushingSink(), new FlushingSink()];
  await world.read(stays);
  const reader = await world.read(leaves);
  await publishEach(world, 2);
  leaves.flushed = false;
  await publishEach(world, 1);
  reader.abort();
  await publishEach(world, 6);
  expect(stays.sequences).toEqual(all.slice(0, 9));
  expect(world.reused).toEqual(numbers(4, 7));
});

test("a stalled watch keeps the frames that it was given, and not those that it never will be", async () => {
  const world = small();
  // Credit for the two notices of a watch that becomes live, and for two frames.
  const [fast, stalled] = [new FlushingSink(), new FlushingSink(4)];
  await world.read(fast);
  await world.read(stalled);
  await publishEach(world, 1);
  stalled.flushed = false;
  await publishEach(world, 8);
  expect(stalled.sequences).toEqual([1, 2]);
  expect(world.reused).toEqual(numbers(3, 7));
  stalled.flushed = true;
  stalled.grant(Number.POSITIVE_INFINITY);
  await world.rest();
  expect(stalled.sequences).toEqual(all.slice(0, 9));
});

test("a frame is not used again in the flush that made it: the encodings of its events lie in it", async () => {
  const world = new ReuseWorld(limits.tailFrameBytes / 4, limits.maxFrameBytes / 2);
  const sink = new FlushingSink();
  await world.read(sink);
  await world.publish("a", 6);
  for (let i = 0; i < 6; i++) await world.rest();
  // The first ones were dropped before it was given them, so it has read those from the log.
  expect(sink.sequences).toEqual(all.slice(0, 6));
  expect(world.reused.filter((frame) => !sink.frames.includes(frame))).toEqual([]);
});

test("a frame of which its reader had no more is not used again when the reader leaves", async () => {
  const world = await filled();
  const sink = new FlushingSink(1);
  const leave = await world.read(sink);
  sink.grant(1);
  await world.rest();
  expect(sink.frames).toHaveLength(1);
  sink.flushed = false;
  leave.abort();
  await world.rest();
  expect(world.reused).toEqual([]);
});

test("what live blocks took is given back once, after every watch has its frames of them", async () => {
  const world = new TailWorld();
  const encoded: unknown[] = [];
  const released: unknown[] = [];
  const plain = numberForm("numbers", 100);
  const form: typeof plain = {
    ...plain,
    encode: (block) => {
      const entries = plain.encode(block);
      encoded.push(entries);
      return entries;
    },
    events: (runs, through) => {
      for (const { entries } of runs) expect(released).not.toContain(entries);
      return plain.events(runs, through);
    },
    release: (entries) => {
      released.push(entries);
    },
  };
  const sinks = [new CreditSink(), new CreditSink()] as const;
  // Two selections, which share the encodings of a block.
  const specs = [wholeLog, { ...wholeLog, scope: { kind: "workers", workerIds: ["a"] }, waitIfMissing: true }] as const;
  for (const [i, sink] of sinks.entries()) {
    sink.watch = await world.tail.open(specs[i] as WatchSpec, form, sink, new AbortController().signal);
  }
  await world.rest();
  for (let i = 0; i < 5; i++) {
    await world.publish("a", 3);
    await world.rest();
  }
  for (const sink of sinks) expect(sink.sequences).toEqual(all.slice(0, 15));
  expect(encoded).toHaveLength(5);
  expect(released).toEqual(encoded);
});
