import { type Clock, type StopTimer, systemClock } from "../../src/base/clock.ts";

/** The system's clock, which a test can move on: what falls due meanwhile fires at once, the rest when it would have. */
export class MovableClock implements Clock {
  #shiftMs = 0;
  readonly #timers = new Set<{ readonly dueMs: number; readonly fire: () => void }>();

  now(): number {
    return systemClock.now() + this.#shiftMs;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#shiftMs;
  }

  after(ms: number, callback: () => void): StopTimer {
    const stop = (): void => {
      stopTimer();
      this.#timers.delete(timer);
    };
    const timer = {
      dueMs: this.monotonic() + ms,
      fire: () => {
        stop();
        callback();
      },
    };
    // A day is no time to wait for, and more than a timer of the system's may be told.
    const stopTimer = systemClock.after(Math.min(ms, 24 * 60 * 60 * 1000), () => timer.fire());
    this.#timers.add(timer);
    return stop;
  }

  advance(ms: number): void {
    this.#shiftMs += ms;
    const due = [...this.#timers].filter(({ dueMs }) => dueMs <= this.monotonic());
    for (const timer of due.sort((a, b) => a.dueMs - b.dueMs)) if (this.#timers.has(timer)) timer.fire();
  }
}
