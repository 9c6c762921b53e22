import { type Clock, systemClock } from "../../src/base/clock.ts";

/** The system's clock, whose time of day a test moves on. Timers run as they do. */
export class ShiftedClock implements Clock {
  #shiftMs = 0;

  now(): number {
    return systemClock.now() + this.#shiftMs;
  }

  monotonic(): number {
    return systemClock.monotonic();
  }

  after(ms: number, callback: () => void) {
    return systemClock.after(ms, callback);
  }

  shift(ms: number): void {
    this.#shiftMs += ms;
  }
}
