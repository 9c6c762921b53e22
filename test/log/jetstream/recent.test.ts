import { expect, test } from "vitest";
import { limits } from "../../../src/base/limits.ts";
import { RecentMessages } from "../../../src/log/jetstream/recent.ts";

const bytes = new Uint8Array(limits.natsRecentBytes / 4);

test("the newest messages are kept, as far as their bytes allow", () => {
  const recent = new RecentMessages();
  for (let sequence = 1; sequence <= 4; sequence++) recent.add(sequence, bytes);
  expect([1, 2, 3, 4].map((sequence) => recent.get(sequence)?.length === bytes.length)).toEqual([
    true,
    true,
    true,
    true,
  ]);
  recent.add(7, bytes);
  expect(recent.get(1)).toBeUndefined();
  expect([2, 3, 4, 7].map((sequence) => recent.get(sequence)?.length === bytes.length)).toEqual([
    true,
    true,
    true,
    true,
  ]);
  recent.add(8, new Uint8Array(1).fill(9));
  expect(recent.get(2)).toBeUndefined();
  expect(recent.get(3)?.length).toBe(bytes.length);
});

test("nothing is kept of what was cleared, and room is there again", () => {
  const recent = new RecentMessages();
  for (let sequence = 1; sequence <= 5; sequence++) recent.add(sequence, bytes);
  recent.clear();
  expect(recent.get(5)).toBeUndefined();
  for (let sequence = 6; sequence <= 9; sequence++) recent.add(sequence, bytes);
  expect([6, 7, 8, 9].map((sequence) => recent.get(sequence)?.length === bytes.length)).toEqual([
    true,
    true,
    true,
    true,
  ]);
});

test("small messages among large ones are found by their sequences, and by no others, until there is no room", () => {
  const recent = new RecentMessages();
  const sizes = [1, 700, 0, 16_383, 16_384, 3, 200_000, 5];
  const sizeOf = (i: number) => sizes[i % sizes.length] as number;
  const filled = (i: number) => new Uint8Array(sizeOf(i)).fill(i);
  let added = 0;
  for (let bytes = 0; bytes < limits.natsRecentBytes / 2; bytes += sizeOf(added)) {
    // Every other sequence is that of a message without events.
    recent.add(10 + 2 * ++added, filled(added));
  }
  for (let i = 1; i <= added; i++) {
    const found = recent.get(10 + 2 * i);
    expect(found?.length).toBe(sizeOf(i));
    expect(found?.every((byte) => byte === i % 256)).toBe(true);
    expect(recent.get(9 + 2 * i)).toBeUndefined();
  }
  expect(recent.get(12 + 2 * added)).toBeUndefined();
  const first = recent.get(12);
  for (let i = added + 1; i <= 4 * added; i++) recent.add(10 + 2 * i, filled(i));
  expect(recent.get(12)).toBeUndefined();
  expect(recent.get(10 + 8 * added)).toEqual(filled(4 * added));
  // Whoever has it already keeps it.
  expect(first).toEqual(filled(1));
});
