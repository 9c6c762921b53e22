import fc from "fast-check";
import { expect, test } from "vitest";
import { ManualClock } from "../../../../src/base/clock.ts";
import { StreamTime } from "../../../../src/log/jetstream/publish/stream-time.ts";

/** How far the stream's time is ahead of the steady clock. */
const aheadMs = 1_000_000;

/** A server that sends messages to a stream, and a steady clock which both go by. */
class Sender {
  readonly clock = new ManualClock(500);
  readonly time = new StreamTime(this.clock);
  #sequence = 0;

  get streamMs(): number {
    return this.clock.now() + aheadMs;
  }

  /** Sends a message that the stream takes after `wayMs`, and the tail brings after `backMs` more. */
  send(wayMs: number, backMs: number): void {
    const sentAtMs = this.clock.now();
    this.clock.advance(wayMs);
    const takenAtMs = this.streamMs;
    this.time.stored(++this.#sequence, sentAtMs);
    this.clock.advance(backMs);
    this.time.heard(this.#sequence, takenAtMs);
  }
}

test("nobody knows what time it is in the stream before something was sent, and when nothing was for long", () => {
  const sender = new Sender();
  const { clock, time } = sender;
  time.heard(7, sender.streamMs);
  expect(time.nowMs).toBeUndefined();
  sender.send(1, 1);
  expect(time.nowMs).toBe(sender.streamMs + 1);
  clock.advance(2_000);
  expect(time.nowMs).toBe(sender.streamMs + 1);
  clock.advance(1);
  expect(time.nowMs).toBeUndefined();
});

test("however long messages take to come back, the time is never that before one is sent, nor after the stream takes one", () => {
  const way = fc.double({ min: 0.02, max: 50, noNaN: true });
  const step = fc.record({ wayMs: way, backMs: way, pauseMs: fc.double({ min: 0, max: 900, noNaN: true }) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 50 }), way, (steps, slowerMs) => {
      const sender = new Sender();
      let quickestMs = Number.POSITIVE_INFINITY;
      for (const { wayMs, backMs, pauseMs } of steps) {
        sender.send(wayMs, backMs);
        quickestMs = Math.min(quickestMs, wayMs);
        sender.clock.advance(pauseMs);
      }
      const nowMs = sender.time.nowMs as number;
      expect(nowMs).toBeGreaterThanOrEqual(Math.floor(sender.streamMs));
      // What is sent now takes as long as the slowest one, or longer.
      const slowestMs = Math.max(...steps.map(({ wayMs }) => wayMs));
      expect(nowMs).toBeLessThanOrEqual(Math.floor(sender.streamMs + slowestMs + slowerMs));
      if (steps.length === 1) expect(nowMs).toBeLessThanOrEqual(sender.streamMs + quickestMs);
    }),
  );
});

test("the quickest message of the last second tells, and not one of long ago", () => {
  const sender = new Sender();
  sender.send(3, 0);
  sender.send(40, 0);
  expect(sender.time.nowMs).toBe(sender.streamMs + 3);
  sender.clock.advance(1_001);
  sender.send(20, 0);
  expect(sender.time.nowMs).toBe(sender.streamMs + 3);
  sender.clock.advance(1_001);
  sender.send(30, 0);
  expect(sender.time.nowMs).toBe(sender.streamMs + 20);
  sender.clock.advance(1_500);
  sender.send(40, 0);
  sender.clock.advance(1_500);
  sender.send(50, 0);
  expect(sender.time.nowMs).toBe(sender.streamMs + 40);
});

test("a message that the tail passed over, or brought before it was acknowledged, tells nothing", () => {
  const clock = new ManualClock(500);
  const time = new StreamTime(clock);
  time.stored(3, 500);
  time.heard(4, 2_000);
  expect(time.nowMs).toBeUndefined();
  time.stored(4, 500);
  time.heard(5, 2_000);
  expect(time.nowMs).toBeUndefined();
  time.stored(6, 500);
  time.heard(6, 2_000);
  expect(time.nowMs).toBe(2_000);
});

test("what NATS took late, because it stood still, does not put the time ahead", () => {
  const sender = new Sender();
  sender.send(3, 0);
  sender.send(3_500, 0);
  expect(sender.time.nowMs).toBeUndefined();
  sender.send(5, 0);
  expect(sender.time.nowMs).toBe(sender.streamMs + 5);
  sender.send(900, 0);
  expect(sender.time.nowMs).toBe(sender.streamMs + 5);
});
