import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../base/clock.ts";
import type { ReportError } from "../../base/incident.ts";
import { limits } from "../../base/limits.ts";
import { transcriptKinds } from "../../events/transcript/fold.ts";
import type { EventBlock } from "../../log/block.ts";
import type { EventLog } from "../../log/contract.ts";

/** Workers that are looked at in one turn of the event loop. */
const workersPerTurn = 64;

export interface CatchUpOptions {
  readonly log: EventLog;
  readonly clock: Clock;
  readonly report: ReportError;
  /** Sequence of the last event of a worker that is folded. */
  readonly foldedTo: (workerId: string) => number;
  readonly fold: (workerId: string, block: EventBlock, index: number) => void;
  /** Every worker is caught up with. */
  readonly onDone: () => void;
}

/**
 * Folds what came after the transcripts that the log keeps, worker by worker, in bounded reads. Until a worker's turn is
 * over its new events are left to the reads, which find them in the log.
 */
export class CatchUp {
  readonly #options: CatchUpOptions;
  /** Workers that are behind, with the sequence up to which to read them. */
  readonly #behind = new Map<string, number>();
  readonly #reading = new Map<string, Promise<void>>();
  #stopped = false;

  constructor(options: CatchUpOptions) {
    this.#options = options;
    const head = options.log.bounds({ kind: "runtime" }).head.sequence;
    for (const { workerId, retainedEvents } of options.log.workers()) {
      if (retainedEvents > 0) this.#behind.set(workerId, head);
    }
    if (!this.done) void this.#all();
  }

  get done(): boolean {
    return this.#behind.size === 0;
  }

  /** Whether a worker is behind, so that its event is not to be folded yet. */
  misses(workerId: string, sequence: number): boolean {
    if (this.done || !this.#behind.has(workerId)) return false;
    this.#behind.set(workerId, sequence);
    return true;
  }

  /** Settles when a worker is caught up with. @throws TailraceError `log_unavailable`. */
  of(workerId: string): Promise<void> {
    if (!this.#behind.has(workerId)) return Promise.resolve();
    let reading = this.#reading.get(workerId);
    if (reading === undefined) {
      reading = this.#read(workerId).finally(() => this.#reading.delete(workerId));
      this.#reading.set(workerId, reading);
    }
    return reading;
  }

  /** Reads no more. What is behind stays so. */
  stop(): void {
    this.#stopped = true;
  }

  async #all(): Promise<void> {
    const { clock, report, onDone } = this.#options;
    let count = 0;
    // Those that come while this goes on are not behind.
    for (const workerId of [...this.#behind.keys()]) {
      if (++count % workersPerTurn === 0) await nextTurn();
      while (!this.#stopped && this.#behind.has(workerId)) {
        try {
          await this.of(workerId);
        } catch (error) {
          if (this.#stopped) return;
          report(error);
          await new Promise<void>((resolve) => clock.after(limits.logRetryMs, resolve));
        }
      }
      if (this.#stopped) return;
    }
    onDone();
  }

  async #read(workerId: string): Promise<void> {
    const { log, foldedTo, fold } = this.#options;
    let after = foldedTo(workerId);
    // Checked again after every read: nothing runs between the last check and the end.
    while (!this.#stopped && after < (this.#behind.get(workerId) ?? 0)) {
      const page = await log.read({
        scope: { kind: "workers", workerIds: [workerId] },
        kinds: transcriptKinds,
        after,
        until: Number.MAX_SAFE_INTEGER,
        maxEvents: limits.catchUpPassEvents,
        maxBytes: limits.catchUpPassBytes,
      });
      if (page.kind === "expired") {
        after = page.floor.sequence;
        continue;
      }
      if (page.block !== undefined) {
        for (let i = 0; i < page.block.length; i++) fold(workerId, page.block, i);
      }
      after = page.through.sequence;
    }
    if (!this.#stopped) this.#behind.delete(workerId);
  }
}
