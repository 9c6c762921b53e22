import { expect, test } from "vitest";
import { limits } from "../../../src/base/limits.ts";
import { RecentMessages } from "../../../src/log/jetstream/recent.ts";

const bytes = new Uint8Array(limits.natsRecentBytes / 4);

test("the newest messages are kept, as far as their bytes allow", () => {
  const recent = new RecentMessages();
  for (let sequence = 1; sequence <= 4; sequence++) recent.add(sequence, bytes);
  expect([1, 2, 3, 4].map((sequence) => recent.get(sequence) === bytes)).toEqual([true, true, true, true]);
  recent.add(7, bytes);
  expect(recent.get(1)).toBeUndefined();
  expect([2, 3, 4, 7].map((sequence) => recent.get(sequence) === bytes)).toEqual([true, true, true, true]);
  recent.add(8, new Uint8Array(1));
  expect(recent.get(2)).toBeUndefined();
  expect(recent.get(3)).toBe(bytes);
});

test("nothing is kept of what was cleared, and room is there again", () => {
  const recent = new RecentMessages();
  for (let sequence = 1; sequence <= 5; sequence++) recent.add(sequence, bytes);
  recent.clear();
  expect(recent.get(5)).toBeUndefined();
  for (let sequence = 6; sequence <= 9; sequence++) recent.add(sequence, bytes);
  expect([6, 7, 8, 9].map((sequence) => recent.get(sequence) === bytes)).toEqual([true, true, true, true]);
});
