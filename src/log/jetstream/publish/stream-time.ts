import type { Clock } from "../../../base/clock.ts";

/** Milliseconds after which a message that came quickly says no more of what time it is than the next one. */
const keptMs = 1_000;

/**
 * What time it is in the stream, as far as the times of its messages tell, and a steady clock since. It is behind by as long as the
 * quickest of late took to come, and no clock of a server has a say in it.
 */
export class StreamTime {
  readonly #clock: Clock;
  /** How far the stream's time is ahead of the steady clock, and when that was heard. */
  #aheadMs = 0;
  #heardMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds since the epoch, whole; undefined: nothing has come for too long. */
  get nowMs(): number | undefined {
    const own = this.#clock.monotonic();
    return own - this.#heardMs > 2 * keptMs ? undefined : Math.floor(own + this.#aheadMs);
  }

  /** A message has come that the stream took at a time. */
  heard(timeMs: number): void {
    const own = this.#clock.monotonic();
    const aheadMs = timeMs - own;
    // What has waited somewhere on its way is older than it seems.
    if (aheadMs < this.#aheadMs && own - this.#heardMs <= keptMs) return;
    this.#aheadMs = aheadMs;
    this.#heardMs = own;
  }
}
