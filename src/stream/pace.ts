import type { Clock } from "../base/clock.ts";
import { limits } from "../base/limits.ts";

/** How much one pass may be. */
export interface PassSize {
  readonly events: number;
  readonly bytes: number;
  /** Passes over everything end at multiples of this, a power of two, so that readers come to ask for the same ones. */
  readonly round: number;
}

const full: PassSize = {
  events: limits.catchUpPassEvents,
  bytes: limits.catchUpPassBytes,
  round: limits.catchUpPassEvents / 2,
};

/** How much of the cost that is expected is what the last pass took: one that was held up itself must not count for much. */
const weight = 0.15;

/**
 * How much to read in one pass. A pass holds up the event loop while it is encoded, so as long as somebody is live it has as
 * many events as its form takes `limits.catchUpLivePassMs` for, by what the last passes took. Text takes ten times as long as protobuf.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #isLive: () => boolean;
  /** Milliseconds of an event, by the name of its form. */
  readonly #costs = new Map<string, number>();

  constructor(clock: Clock, isLive: () => boolean) {
    this.#clock = clock;
    this.#isLive = isLive;
  }

  /** For the next pass in a form. */
  size(form: string): PassSize {
    if (!this.#isLive()) return full;
    const { catchUpLivePassMs, catchUpLivePassBytes: bytes, catchUpLivePassEvents: least } = limits;
    const cost = this.#costs.get(form);
    // Nothing is known before the first one, and that one is slow.
    if (cost === undefined) return { events: least, bytes, round: least };
    let events = full.round;
    while (events > least && events * cost > catchUpLivePassMs) events /= 2;
    return { events, bytes, round: events };
  }

  /** Runs the part of a pass that holds up the event loop. */
  measure<T>(form: string, events: number, encode: () => T): T {
    const begun = this.#clock.monotonic();
    const result = encode();
    const cost = (this.#clock.monotonic() - begun) / events;
    const known = this.#costs.get(form);
    this.#costs.set(form, known === undefined ? cost : known + (cost - known) * weight);
    return result;
  }
}
