import type { Clock, StopTimer } from "../base/clock.ts";
import { limits } from "../base/limits.ts";
import { type EventBlock, storedBytes } from "../log/block.ts";

/**
 * How much longer than a flush the rest after it is. A write to a socket costs as much by itself as that of some 40 KiB, so
 * flushes that follow each other at once spend most of their time on writing a few events each.
 */
const restFactor = 2;

/**
 * Holds committed blocks until they are flushed, and says when that is. After a flush there is a rest of `limits.coalesceMs`
 * or, where flushes take long, of as much more as keeps them to a third of the time, up to `limits.coalesceMostMs`. What comes
 * during it waits for its end, or until it is `limits.coalesceBytes`; what comes later, which is all while few come, is
 * flushed at once.
 */
export class Gathering {
  readonly #clock: Clock;
  /** Open watches. */
  readonly #watches: { readonly size: number };
  readonly #flush: () => void;
  #blocks: EventBlock[] = [];
  /** What says of each of them that it is not read any more. */
  #dones: (() => void)[] = [];
  #bytes = 0;
  /** When the rest after the last flush is over. */
  #restedAtMs = Number.NEGATIVE_INFINITY;
  #inThisTurn = false;
  #inNextPhase: NodeJS.Immediate | undefined;
  #later: StopTimer | undefined;

  /** `flush` takes what was gathered. */
  constructor(clock: Clock, watches: { readonly size: number }, flush: () => void) {
    this.#clock = clock;
    this.#watches = watches;
    this.#flush = flush;
  }

  add(block: EventBlock, done: () => void): void {
    this.#blocks.push(block);
    this.#dones.push(done);
    this.#bytes += storedBytes(block);
    if (this.#inThisTurn || this.#inNextPhase !== undefined) return;
    if (this.#bytes >= limits.coalesceBytes) this.#flushInNextPhase();
    else if (this.#later !== undefined) return;
    else {
      const restMs = this.#restedAtMs - this.#clock.monotonic();
      // Whole ones: the timers of Node are kept by their length.
      if (restMs > 0) this.#later = this.#clock.after(Math.ceil(restMs), this.#flush);
      else if (this.#watches.size > limits.promptWatches) this.#flushInNextPhase();
      else {
        this.#inThisTurn = true;
        // Behind the answers to publishers, which are promises.
        process.nextTick(this.#flushPrompt);
      }
    }
  }

  /** Everything that was gathered, which nothing is scheduled for any more. `done` is to be called once it is not read any more. */
  take(): { readonly blocks: readonly EventBlock[]; readonly done: () => void } {
    this.stop();
    const blocks = this.#blocks;
    const dones = this.#dones;
    this.#blocks = [];
    this.#dones = [];
    this.#bytes = 0;
    return {
      blocks,
      done: () => {
        for (const done of dones) done();
      },
    };
  }

  /** What was taken at `beganMs` is flushed. */
  flushed(beganMs: number): void {
    // From its end: writing to many sockets may take longer than the rest.
    const nowMs = this.#clock.monotonic();
    const restMs = Math.min(limits.coalesceMostMs, Math.max(limits.coalesceMs, (nowMs - beganMs) * restFactor));
    this.#restedAtMs = nowMs + restMs;
  }

  /** Schedules nothing any more until more comes. */
  stop(): void {
    this.#inThisTurn = false;
    if (this.#inNextPhase !== undefined) clearImmediate(this.#inNextPhase);
    this.#inNextPhase = undefined;
    this.#later?.();
    this.#later = undefined;
  }

  #flushInNextPhase(): void {
    this.#later?.();
    this.#later = undefined;
    this.#inNextPhase = setImmediate(this.#flush);
  }

  readonly #flushPrompt = (): void => {
    // Something else may have flushed meanwhile.
    if (this.#inThisTurn) this.#flush();
  };
}
