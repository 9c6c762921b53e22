import { limits } from "../../../base/limits.ts";
import type { Availability } from "./availability.ts";

/**
 * Whether this server hears what comes into the stream. What sends it may be there, and of no use: then nothing comes, and
 * a tail that nothing comes to can't tell that from a stream that nobody writes to.
 */
export class TailCheck {
  readonly #availability: Availability;
  readonly #again: () => void;
  /** How far it was when it was seen to be behind, and how often it was seen there since. */
  #stuck: { readonly at: number; looks: number } | undefined;

  /** @param again makes the tail anew. */
  constructor(availability: Availability, again: () => void) {
    this.#availability = availability;
    this.#again = again;
  }

  /**
   * The stream was looked at, which is done every `natsLookMs`.
   * @param newest sequence of its newest message then.
   * @param heard sequence of the newest one that has come to this server by now.
   */
  looked(newest: number, heard: number): void {
    if (heard >= newest || heard !== this.#stuck?.at) {
      this.#stuck = heard >= newest ? undefined : { at: heard, looks: 0 };
      this.#availability.has("feed");
      return;
    }
    // Counted in looks, not in time: what has come while the process was paused is read between two of them.
    this.#stuck.looks++;
    if (this.#stuck.looks * limits.natsLookMs < limits.natsStuckMs) return;
    this.#stuck.looks = 0;
    this.#availability.misses("feed");
    this.#again();
  }
}
