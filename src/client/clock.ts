import { type Clock, systemClock } from "../base/clock.ts";

/**
 * The system's clock with timers that keep the process alive: while a watch waits to reconnect there is no socket that
 * would, and the process would end in the middle of a `for await`.
 */
export const clientClock: Clock = {
  now: systemClock.now,
  monotonic: systemClock.monotonic,
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
