import type { Clock } from "../../../base/clock.ts";

/** Milliseconds for which at the least, and twice as long at the most, the quickest message counts. */
const windowMs = 1_000;

/** Milliseconds after which one that is acknowledged tells nothing: it may have waited on its way, which the next one need not. */
const promptMs = 250;

/**
 * What time it is in the stream when it gets what is sent now, told by when it took what this server sent before. That is not before
 * it was sent, and not after the stream has it unless it is quicker than all of late; and no clock of a server has a say in it.
 */
export class StreamTime {
  readonly #clock: Pick<Clock, "monotonic">;
  /** A message that the stream has, and the tail has not brought yet. */
  #stored: { readonly sequence: number; readonly sentAtMs: number } | undefined;
  /** How far the time at which the stream took a message is ahead of the steady clock when it was sent: the least in a window. */
  #aheadMs = Number.POSITIVE_INFINITY;
  /** And in the window before. */
  #beforeMs = Number.POSITIVE_INFINITY;
  #windowAtMs = Number.NEGATIVE_INFINITY;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  /** @param clock a steady one. */
  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Milliseconds since the epoch, whole; undefined: nothing that was sent of late tells. */
  get nowMs(): number | undefined {
    const own = this.#clock.monotonic();
    if (own - this.#toldAtMs > 2 * windowMs) return undefined;
    return Math.floor(own + Math.min(this.#aheadMs, this.#beforeMs));
  }

  /** The stream has at a sequence what was sent at a time of the steady clock. */
  stored(sequence: number, sentAtMs: number): void {
    if (this.#clock.monotonic() - sentAtMs > promptMs) return;
    // One at a time: with many on their way the next one tells as much.
    if (this.#stored === undefined || this.#stored.sequence > sequence) this.#stored = { sequence, sentAtMs };
  }

  /** The tail brings a message, which the stream took at a time, in milliseconds with all that is known behind the point. */
  heard(sequence: number, takenAtMs: number): void {
    const stored = this.#stored;
    if (stored === undefined || sequence < stored.sequence) return;
    this.#stored = undefined;
    if (sequence === stored.sequence) this.#told(takenAtMs - stored.sentAtMs);
  }

  #told(aheadMs: number): void {
    const own = this.#clock.monotonic();
    if (own - this.#windowAtMs > windowMs) {
      this.#beforeMs = own - this.#windowAtMs > 2 * windowMs ? Number.POSITIVE_INFINITY : this.#aheadMs;
      this.#aheadMs = Number.POSITIVE_INFINITY;
      this.#windowAtMs = own;
    }
    this.#aheadMs = Math.min(this.#aheadMs, aheadMs);
    this.#toldAtMs = own;
  }
}
