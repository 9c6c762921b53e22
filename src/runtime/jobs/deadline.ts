import type { Clock, StopTimer } from "../../base/clock.ts";

/** A timer of the platform can't wait longer: it would fire at once. */
const longestWaitMs = 0x7fff_ffff;

/** Calls back once after `ms` milliseconds, however many they are. */
export function afterLong(clock: Clock, ms: number, callback: () => void): StopTimer {
  const due = clock.monotonic() + ms;
  const wait = (): StopTimer => {
    const left = due - clock.monotonic();
    if (left <= longestWaitMs) return clock.after(Math.max(0, left), callback);
    return clock.after(longestWaitMs, () => {
      stop = wait();
    });
  };
  let stop = wait();
  return () => stop();
}
