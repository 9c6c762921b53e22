import { expect, test } from "vitest";
import { limits } from "../../../../src/base/limits.ts";
import { BinaryWriter } from "../../../../src/log/binary.ts";
import { MessageMemory } from "../../../../src/log/jetstream/publish/message-memory.ts";
import { messagesOf } from "../../../../src/log/jetstream/publish/outgoing.ts";
import { event } from "../../harness.ts";

test("memory of messages serves again, up to so many bytes", () => {
  const memory = new MessageMemory();
  const one = memory.take();
  one.data(new Uint8Array(1000));
  memory.giveBack(one);
  expect(memory.take()).toBe(one);
  expect(memory.take()).not.toBe(one);

  const many = Array.from({ length: 10 }, () => new BinaryWriter());
  for (const writer of many) {
    writer.reserve(limits.natsSpareMessageBytes / 8);
    memory.giveBack(writer);
  }
  const taken = new Set(many.map(() => memory.take()));
  expect(many.filter((writer) => taken.has(writer))).toHaveLength(8);
});

test("a writer that made room takes no more memory for what it has room for", () => {
  const writer = new BinaryWriter();
  writer.u8(1);
  writer.reserve(10_000);
  const { capacity } = writer;
  expect(capacity).toBe(10_001);
  writer.raw(new Uint8Array(10_000).fill(7));
  expect(writer.capacity).toBe(capacity);
  expect([writer.bytes[0], writer.bytes[1], writer.bytes[10_000]]).toEqual([1, 7, 7]);
});

test.each([
  { count: 1, bytes: 20_000 },
  { count: 2, bytes: 10_000 },
  { count: 1000, bytes: 10 },
])("a message of $count events of $bytes bytes takes its memory at once, and no more than it needs", (of) => {
  const memory = new BinaryWriter();
  const events = Array.from({ length: of.count }, (_, i) => event(`w-${i}`, "x".repeat(of.bytes), 40, `job-${i}`));
  const head = { writer: "w.0", number: 1, timeMs: 1, appends: [{ base: 0, count: of.count }] };
  const [message] = messagesOf("n", head, events, memory);
  expect(memory.capacity).toBe(message?.payload.length);
});
