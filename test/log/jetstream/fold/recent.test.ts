import { expect, test } from "vitest";
import { limits } from "../../../../src/base/limits.ts";
import { RecentMessages } from "../../../../src/log/jetstream/fold/recent.ts";

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
});

/** Messages of these sizes, each filled with its number, from 1. Returns what was kept of those that were small. */
function addAll(recent: RecentMessages, sizes: readonly number[]): ReadonlySet<ArrayBufferLike> {
  const memories = new Set<ArrayBufferLike>();
  for (const [i, size] of sizes.entries()) {
    recent.add(i + 1, new Uint8Array(size).fill(i + 1));
    if (size === small) memories.add((recent.get(i + 1) as Uint8Array).buffer);
  }
  return memories;
}

/** Four of these share memory; two of those, with all four, are nearly all that is kept. */
const small = 60_000;
const large = limits.natsRecentBytes / 2 - 4 * small;

test("memory of small messages serves again when they are dropped", () => {
  const recent = new RecentMessages();
  const count = 10 * Math.ceil(limits.natsRecentBytes / small);
  const memories = addAll(recent, new Array(count).fill(small));
  expect(memories.size).toBeGreaterThan(1);
  expect(memories.size).toBeLessThan(count / 4 / 5);
});

test("memory does not serve again while some of what lies in it is kept", () => {
  const recent = new RecentMessages();
  // The first one is dropped, and the first large one, but not the three that share memory with the first.
  const sizes = [small, large, small, small, small, large, ...new Array(20).fill(small)];
  addAll(recent, sizes);
  expect(recent.get(1)).toBeUndefined();
  for (let i = 3; i <= sizes.length; i++) expect(recent.get(i)?.every((byte) => byte === i)).toBe(true);
});

test("memory that is still being filled does not serve again before it is full", () => {
  const recent = new RecentMessages();
  const sizes = [small, limits.natsRecentBytes, ...new Array(9).fill(small)];
  addAll(recent, sizes);
  expect(recent.get(1)).toBeUndefined();
  for (let i = 3; i <= sizes.length; i++) expect(recent.get(i)?.every((byte) => byte === i)).toBe(true);
});
