import type { Clock, StopTimer } from "../base/clock.ts";
import { limits } from "../base/limits.ts";

/** A log that can't be read, as one reader meets it: it tries again, and gives up after a while. */
export class Outage {
  readonly #clock: Clock;
  #sinceMs: number | undefined;
  #stopRetry: StopTimer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the next try is still to come. */
  get waiting(): boolean {
    return this.#stopRetry !== undefined;
  }

  /** The log could not be read; `retry` is called when it is time to try again, unless this went on for too long. */
  met(retry: () => void): "first" | "again" | "too long" {
    const now = this.#clock.now();
    const first = this.#sinceMs === undefined;
    this.#sinceMs ??= now;
    if (now - this.#sinceMs >= limits.logUnavailableMs) return "too long";
    this.#stopRetry = this.#clock.after(limits.logRetryMs, () => {
      this.#stopRetry = undefined;
      retry();
    });
    return first ? "first" : "again";
  }

  /** The log could be read, or nobody tries again. */
  over(): void {
    this.#sinceMs = undefined;
    this.#stopRetry?.();
    this.#stopRetry = undefined;
  }
}
