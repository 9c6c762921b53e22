import type { Clock, StopTimer } from "../../base/clock.ts";
import { limits } from "../../base/limits.ts";
import type { LogHealth } from "../contract.ts";
import { unavailable } from "./errors.ts";

/** What a log can't do without, what is said while it is missing, and for how many milliseconds that goes without saying. */
const needs = {
  link: { message: "The log has no connection to NATS.", graceMs: limits.natsAwayMs },
  tail: { message: "NATS does not send what comes into the log.", graceMs: limits.natsAwayMs },
  stream: { message: "NATS does not answer for the log's stream.", graceMs: limits.natsSilentMs },
  server: { message: "The NATS server of the log does not take what a log needs.", graceMs: 0 },
  right: { message: "NATS does not let this server write to the log.", graceMs: 0 },
} as const;

export type Need = keyof typeof needs;

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

  /** @param onChange must not throw. */
  constructor(clock: Clock, onChange: (isAvailable: boolean) => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  get isAvailable(): boolean {
    for (const { isSaid } of this.#missing.values()) if (isSaid) return false;
    return true;
  }

  health(): LogHealth {
    for (const need of Object.keys(needs) as Need[]) {
      const missing = this.#missing.get(need);
      if (missing?.isSaid !== true) continue;
      const { sinceMs, message } = missing;
      return { available: false, sinceMs, error: unavailable(sinceMs, message) };
    }
    return { available: true };
  }

  /** It is missing from now on, unless it is already. `message`: says more than what is said without it. */
  misses(need: Need, message: string = needs[need].message): void {
    if (this.#stopped || this.#missing.has(need)) return;
    const say = () => {
      const was = this.isAvailable;
      missing.isSaid = true;
      if (was) this.#onChange(false);
    };
    const stop = this.#clock.after(needs[need].graceMs, say);
    const missing: Missing = { sinceMs: this.#clock.now(), message, isSaid: false, stop };
    this.#missing.set(need, missing);
  }

  has(need: Need): void {
    const missing = this.#missing.get(need);
    if (missing === undefined) return;
    const was = this.isAvailable;
    missing.stop();
    this.#missing.delete(need);
    if (!was && this.isAvailable) this.#onChange(true);
  }

  /** Nothing is said any more. */
  stop(): void {
    this.#stopped = true;
    for (const { stop } of this.#missing.values()) stop();
  }
}
