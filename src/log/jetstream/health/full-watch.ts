import type { Clock, StopTimer } from "../../../base/clock.ts";
import type { ReportError } from "../../../base/incident.ts";
import { limits } from "../../../base/limits.ts";
import { streamOf } from "../stream/subjects.ts";

/**
 * Tells the operator once that NATS has no room for a log, unless some is made soon, and once that it has. Room that is gone again soon
 * was none: what is small may be taken while publishers are refused.
 */
export class FullWatch {
  readonly #stream: string;
  readonly #report: ReportError;
  readonly #clock: Clock;
  #stopTimer: StopTimer | undefined;
  #isSaid = false;
  /** Since when there is none, and when there was some last. */
  #sinceMs = Number.NEGATIVE_INFINITY;
  #roomAtMs = Number.NEGATIVE_INFINITY;
  #nextMs = Number.NEGATIVE_INFINITY;

  constructor(namespace: string, report: ReportError, clock: Clock) {
    this.#stream = streamOf(namespace);
    this.#report = report;
    this.#clock = clock;
  }

  /** There is none from now on, or some again. */
  changed(isFull: boolean): void {
    this.#stopTimer?.();
    const nowMs = this.#clock.monotonic();
    if (isFull) {
      if (nowMs - this.#roomAtMs >= limits.natsSilentMs) this.#sinceMs = nowMs;
      // A log that lives at the edge of its room is full every few seconds.
      const atMs = Math.max(this.#sinceMs + limits.natsSilentMs, this.#nextMs);
      this.#stopTimer = this.#clock.after(Math.max(0, atMs - nowMs), () => this.#say());
      return;
    }
    this.#roomAtMs = nowMs;
    if (this.#isSaid) {
      this.#isSaid = false;
      this.#tell(`NATS has room for ${this.#stream} again. Events are taken.`);
    }
  }

  stop(): void {
    this.#stopTimer?.();
  }

  #say(): void {
    this.#isSaid = true;
    this.#nextMs = this.#clock.monotonic() + limits.natsTroubleMs;
    this.#tell(
      `NATS has no room for ${this.#stream}, and events are refused. What nobody needs is removed; if everything is retained, give NATS more storage, or start all servers again with shorter retention.`,
    );
  }

  #tell(sentence: string): void {
    const told = new Error(sentence);
    // No fault of the code: where that found it says nothing.
    told.stack = sentence;
    this.#report(told);
  }
}
