import type { Clock, StopTimer } from "../../../base/clock.ts";
import { limits } from "../../../base/limits.ts";

export interface FullGateParts {
  readonly clock: Clock;
  /** Whether a part of what is kept for looking after the log is in use. Not known: it rejects. */
  isReserveInUse(): Promise<boolean>;
  /** Sends an event's worth of nothing. Must not throw. */
  probe(): void;
  /** Events are refused from now on with `error`, or (undefined) go to NATS again. Must not throw. */
  changed(error: Error | undefined): void;
}

/**
 * Keeps events from NATS while that has no room: they would take what is let go of for whoever makes some. Opens when all that is
 * kept for that is there again, which shows on every server that nobody is making room, and NATS then takes a write that says nothing,
 * not because some was let go of meanwhile.
 */
export class FullGate {
  readonly #parts: FullGateParts;
  #error: Error | undefined;
  /** What became of the write that says nothing: it is on its way, or taken, and it is asked why there was room for it. */
  #trial: "none" | "sent" | "taken" = "none";
  #stopTimer: StopTimer | undefined;
  #stopped = false;

  constructor(parts: FullGateParts) {
    this.#parts = parts;
  }

  /** @throws the error that NATS refused with. */
  assertOpen(): void {
    if (this.#error !== undefined) throw this.#error;
  }

  /** NATS had no room for a write. */
  refused(error: Error): void {
    this.#trial = "none";
    if (this.#error !== undefined || this.#stopped) return;
    this.#error = error;
    this.#wait();
    this.#parts.changed(error);
  }

  /** NATS has taken an event, or what is sent like one. */
  acknowledged(): void {
    if (this.#trial !== "sent") return;
    this.#trial = "taken";
    void this.#open();
  }

  /** Nothing is tried any more. */
  stop(): void {
    this.#stopped = true;
    this.#stopTimer?.();
  }

  #wait(): void {
    this.#stopTimer = this.#parts.clock.after(limits.natsFullMs, () => void this.#try());
  }

  async #open(): Promise<void> {
    const isInUse = await this.#isReserveInUse();
    // Refused meanwhile.
    if (this.#stopped || this.#trial !== "taken") return;
    this.#trial = "none";
    if (isInUse) return;
    this.#stopTimer?.();
    this.#error = undefined;
    this.#parts.changed(undefined);
  }

  async #try(): Promise<void> {
    if (this.#trial === "taken") {
      // The answer that is waited for may be late.
      this.#wait();
      return;
    }
    this.#trial = "none";
    const isInUse = await this.#isReserveInUse();
    if (this.#stopped) return;
    // Also where it is tried now: nobody may answer.
    this.#wait();
    if (isInUse) return;
    this.#trial = "sent";
    this.#parts.probe();
  }

  /** Without an answer it is not: events need no bucket, and what NATS says of the try decides. */
  async #isReserveInUse(): Promise<boolean> {
    return this.#parts.isReserveInUse().catch(() => false);
  }
}
