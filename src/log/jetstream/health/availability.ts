import type { Clock, StopTimer } from "../../../base/clock.ts";
import { limits } from "../../../base/limits.ts";
import type { LogHealth } from "../../contract.ts";
import { unavailable } from "../errors.ts";

/**
 * What a log can't do without, what is said while it is missing, and for how many milliseconds that goes without saying.
 * `reads`: without it the log can still be read, and all that comes is heard. Those are last: what else is missing weighs more.
 */
const needs = {
  link: { message: "The log has no connection to NATS.", graceMs: limits.natsAwayMs },
  tail: { message: "NATS does not send what comes into the log.", graceMs: limits.natsAwayMs },
  stream: { message: "NATS does not answer for the log's stream.", graceMs: limits.natsSilentMs },
  server: { message: "The NATS server of the log does not take what a log needs.", graceMs: 0 },
  feed: { message: "NATS has newer events in the log than it sends to this server.", graceMs: 0 },
  right: { message: "NATS does not let this server write to the log.", graceMs: 0, reads: true },
  writes: { message: "NATS does not take what is written to the log.", graceMs: 0, reads: true },
  answers: { message: "NATS does not acknowledge what is written to the log.", graceMs: 0, reads: true },
} as const satisfies Record<string, { message: string; graceMs: number; reads?: true }>;

export type Need = keyof typeof needs;

const available: LogHealth = { available: true };

interface Missing {
  readonly sinceMs: number;
  readonly message: string;
  isSaid: boolean;
  readonly stop: StopTimer;
}

/** Whether a log can be used: what it needs may be missing for a moment, and is said to be when that takes longer. */
export class Availability {
  readonly #clock: Clock;
  readonly #onChange: (isAvailable: boolean) => void;
  #stopped = false;
  readonly #missing = new Map<Need, Missing>();

  /** @param onChange hears also of what can be read no more, or again, while it is not available. Must not throw. */
  constructor(clock: Clock, onChange: (isAvailable: boolean) => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  get isAvailable(): boolean {
    return this.#left === "all";
  }

  health(): LogHealth {
    // Each append asks, and mostly nothing is missing.
    if (this.#missing.size === 0) return available;
    for (const need of Object.keys(needs) as Need[]) {
      const missing = this.#missing.get(need);
      if (missing?.isSaid !== true) continue;
      const { sinceMs, message } = missing;
      const error = unavailable(sinceMs, message);
      return { available: false, sinceMs, error, ...("reads" in needs[need] ? { reads: true } : {}) };
    }
    return available;
  }

  /** It is missing from now on, unless it is already. `message`: says more than what is said without it. */
  misses(need: Need, message: string = needs[need].message): void {
    if (this.#stopped || this.#missing.has(need)) return;
    const { graceMs } = needs[need];
    const say = () => {
      const was = this.#left;
      missing.isSaid = true;
      if (was !== this.#left) this.#onChange(false);
    };
    const stop = graceMs === 0 ? () => undefined : this.#clock.after(graceMs, say);
    const missing: Missing = { sinceMs: this.#clock.now(), message, isSaid: false, stop };
    this.#missing.set(need, missing);
    if (graceMs === 0) say();
  }

  has(need: Need): void {
    const missing = this.#missing.get(need);
    if (missing === undefined) return;
    const was = this.#left;
    missing.stop();
    this.#missing.delete(need);
    if (was !== this.#left) this.#onChange(this.isAvailable);
  }

  /** What can be done without that which is said to be missing. */
  get #left(): "all" | "reads" | "nothing" {
    let left: "all" | "reads" = "all";
    for (const [need, { isSaid }] of this.#missing) {
      if (!isSaid) continue;
      if (!("reads" in needs[need])) return "nothing";
      left = "reads";
    }
    return left;
  }

  /** Nothing is said any more. */
  stop(): void {
    this.#stopped = true;
    for (const { stop } of this.#missing.values()) stop();
  }
}
