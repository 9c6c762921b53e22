import { expect, test } from "vitest";
import { TextSizes } from "../../src/wire/text-entries.ts";

test("blocks like those before have room for their text at once", () => {
  const sizes = new TextSizes();
  const storedBytes = 64 * 100;
  const textBytes = 64 * 2_000;
  expect(sizes.expect(64, storedBytes)).toBeLessThan(textBytes);
  sizes.learn(64, storedBytes, textBytes);
  expect(sizes.expect(64, storedBytes)).toBeGreaterThanOrEqual(textBytes);
  expect(sizes.expect(1, 100)).toBeGreaterThanOrEqual(2_000);
});

test("one small block among large ones is not taken for the rule, but many are", () => {
  const sizes = new TextSizes();
  sizes.learn(64, 6_400, 128_000);
  const before = sizes.expect(64, 6_400);
  sizes.learn(1, 100, 400);
  expect(sizes.expect(64, 6_400)).toBeGreaterThan(before * 0.9);
  for (let i = 0; i < 200; i++) sizes.learn(1, 100, 400);
  expect(sizes.expect(1, 100)).toBeGreaterThanOrEqual(400);
  expect(sizes.expect(1, 100)).toBeLessThan(450);
});
