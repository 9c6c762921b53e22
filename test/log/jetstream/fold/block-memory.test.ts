import { expect, test } from "vitest";
import { ManualClock } from "../../../../src/base/clock.ts";
import { limits } from "../../../../src/base/limits.ts";
import { type EventBlock, storedBytes } from "../../../../src/log/block.ts";
import { BlockMemory } from "../../../../src/log/jetstream/fold/block-memory.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { natsForFile } from "../../../support/nats.ts";
import { event, readAll, texts } from "../../harness.ts";
import { freshNamespace } from "../support.ts";

const nats = natsForFile();

test("memory serves again for blocks that are neither small nor large, so many of them at the most", () => {
  const memory = new BlockMemory();
  const middling = memory.take(10_000);
  expect(middling.length).toBeGreaterThanOrEqual(10_000);
  memory.giveBack(middling);
  expect(memory.take(40_000)).toBe(middling);
  for (const size of [0, 100, 64 * 1024, 500_000]) {
    const own = memory.take(size);
    expect(own).toHaveLength(size);
    memory.giveBack(own);
    expect(memory.take(size)).not.toBe(own);
    expect(memory.take(10_000)).not.toBe(own);
  }
  const many = Array.from({ length: limits.natsSpareBlocks + 5 }, () => memory.take(10_000));
  for (const one of many) memory.giveBack(one);
  const again = new Set(many.map(() => memory.take(10_000)));
  expect(many.filter((one) => again.has(one))).toHaveLength(limits.natsSpareBlocks);
});

test("blocks lie in the same memory once their subscribers are done with them, and not before", async () => {
  const log = await openJetStreamLog({ servers: [nats().url], namespace: freshNamespace() });
  const memories = new Set<ArrayBufferLike>();
  let last: (() => void) | undefined;
  const subscriber = (block: EventBlock, done: () => void) => {
    memories.add(block.bytes.buffer);
    last = done;
  };
  log.subscribe(subscriber);
  log.subscribe((_, done) => done());
  const append = () => log.append({ events: Array.from({ length: 30 }, () => event("a", "x".repeat(500))) });
  for (let round = 0; round < 5; round++) {
    await append();
    last?.();
  }
  expect(memories.size).toBe(1);
  for (let round = 0; round < 5; round++) await append();
  expect(memories.size).toBe(5);
  await log.close();
});

test("a block of as many bytes as serve again is still what it was when it is read later", async () => {
  const log = await openJetStreamLog({
    servers: [nats().url],
    namespace: freshNamespace(),
    // Every event's time is of the same size then.
    clock: new ManualClock(),
  });
  let size = 0;
  log.subscribe((block, done) => {
    size = storedBytes(block);
    done();
  });
  const append = (letter: string, last: number) =>
    log.append({ events: [16_000, 16_000, 16_000, 10_000, last].map((length) => event("a", letter.repeat(length))) });
  await append("m", 7_000);
  const last = 7_000 + 64 * 1024 - size;
  const { firstSequence } = await append("x", last);
  expect(size).toBe(64 * 1024);
  for (let round = 0; round < 3; round++) await append("y", 6_000);
  const seen = await readAll(log, { after: firstSequence - 1, until: firstSequence + 4 });
  expect(texts(seen).map((text) => new Set(text))).toEqual(Array.from({ length: 5 }, () => new Set("x")));
  expect(seen.at(-1)?.text).toHaveLength(last);
  await log.close();
});
