import { expect, test } from "vitest";
import { ManualClock } from "../../../../src/base/clock.ts";
import { StreamTime } from "../../../../src/log/jetstream/publish/stream-time.ts";

test("it is as late in the stream as its messages say, and goes on with a steady clock", () => {
  const clock = new ManualClock(500);
  const time = new StreamTime(clock);
  expect(time.nowMs).toBeUndefined();
  time.heard(1_000_000);
  expect(time.nowMs).toBe(1_000_000);
  clock.advance(30);
  expect(time.nowMs).toBe(1_000_030);
});

test("a message that took long to come says nothing while a quicker one is known, and one that is later than thought does", () => {
  const clock = new ManualClock(500);
  const time = new StreamTime(clock);
  time.heard(1_000_000);
  clock.advance(100);
  time.heard(1_000_020);
  expect(time.nowMs).toBe(1_000_100);
  time.heard(1_000_110);
  expect(time.nowMs).toBe(1_000_110);
});

test("a stream whose time went back is believed after a while", () => {
  const clock = new ManualClock(500);
  const time = new StreamTime(clock);
  time.heard(1_000_000);
  clock.advance(1_001);
  time.heard(900_000);
  expect(time.nowMs).toBe(900_000);
});

test("nobody knows what time it is when nothing has come for long", () => {
  const clock = new ManualClock(500);
  const time = new StreamTime(clock);
  time.heard(1_000_000);
  clock.advance(2_000);
  expect(time.nowMs).toBe(1_002_000);
  clock.advance(1);
  expect(time.nowMs).toBeUndefined();
});
