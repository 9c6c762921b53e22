import { expect, test } from "vitest";
import { limits } from "../../../src/base/limits.ts";
import { AppendOrder, everything } from "../../../src/runtime/append-order.ts";

const keys = (...names: string[]) => new Set(names);

test("what bars a key holds back what comes after it with that key, and nothing else", async () => {
  const order = new AppendOrder();
  const plain = order.enter(keys("a"), 1);
  expect(plain.ready).toBeUndefined();
  plain.sent(keys());
  const barring = order.enter(keys("a", "b"), 1);
  expect(barring.ready).toBeUndefined();
  barring.sent(keys("a"));
  expect(order.enter(keys("b"), 1).ready).toBeUndefined();
  const seen: string[] = [];
  const waiting = ["first", "second"].map((name) => {
    const place = order.enter(keys("a", "c"), 1);
    return place.ready?.then(() => {
      seen.push(name);
      place.sent(keys());
    });
  });
  // It waits for those that wait, also with another key of theirs.
  const last = order.enter(keys("c"), 1);
  const after = last.ready?.then(() => seen.push("last"));
  await Promise.resolve();
  expect(seen).toEqual([]);
  barring.leave();
  await Promise.all([...waiting, after]);
  expect(seen).toEqual(["first", "second", "last"]);
  for (const place of [plain, last]) place.leave();
  expect(order.size).toBe(0);
});

test("what leaves without having been sent lets the others by", async () => {
  const order = new AppendOrder();
  const barring = order.enter(keys("a"), 1);
  barring.sent(everything);
  const refused = order.enter(keys("a"), 1);
  const next = order.enter(keys("a"), 1);
  barring.leave();
  refused.leave();
  await next.ready;
  next.leave();
  expect(order.size).toBe(0);
});

test("what waits is bounded by its bytes", () => {
  const order = new AppendOrder();
  const barring = order.enter(keys("a"), 1);
  barring.sent(everything);
  const waiting = order.enter(keys("a"), limits.maxPendingAppendBytes);
  expect(() => order.enter(keys("a"), 1)).toThrow(
    expect.objectContaining({ reason: "limit_exceeded", details: expect.objectContaining({ retryAfterMs: 100 }) }),
  );
  expect(order.enter(keys("b"), limits.maxPendingAppendBytes).ready).toBeUndefined();
  waiting.leave();
  expect(order.enter(keys("a"), 1).ready).toBeDefined();
});
