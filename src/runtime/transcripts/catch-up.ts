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
  /** Events of a worker are gone that may not be folded. */
  readonly onMissed: (workerId: string) => void;
  /** Every worker is caught up with. Called each time that this is so again. */
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
  /** Workers that are to be read from the beginning again. */
  readonly #restarting = new Set<string>();
  #running = false;
  #stopped = false;

  constructor(options: CatchUpOptions) {
    this.#options = options;
    const head = options.log.bounds({ kind: "runtime" }).head.sequence;
    for (const { workerId, retainedEvents } of options.log.workers()) {
      if (retainedEvents > 0) this.#behind.set(workerId, head);
    }
    this.#start();
  }

  get done(): boolean {
    return this.#behind.size === 0;
  }

  /** Folds the events of a worker again that came after what `foldedTo` says now. */
  again(workerId: string): void {
    if (this.#stopped) return;
    this.#behind.set(workerId, this.#options.log.bounds({ kind: "runtime" }).head.sequence);
    if (this.#reading.has(workerId)) this.#restarting.add(workerId);
    this.#start();
  }

  isBehind(workerId: string): boolean {
    return this.#behind.has(workerId);
  }

  forget(workerId: string): void {
    this.#behind.delete(workerId);
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
      reading = this.#read(workerId).finally(() => {
        this.#reading.delete(workerId);
        this.#restarting.delete(workerId);
      });
      this.#reading.set(workerId, reading);
    }
    return reading;
  }

  /** Reads no more. What is behind stays so. */
  stop(): void {
    this.#stopped = true;
  }

  #start(): void {
    if (this.#running || this.done) return;
    this.#running = true;
    void this.#all().finally(() => {
      this.#running = false;
    });
  }

  async #all(): Promise<void> {
    let count = 0;
    // Those that come while this goes on are behind only if they are to be folded again.
    while (!this.done) {
      for (const workerId of [...this.#behind.keys()]) {
        if (++count % workersPerTurn === 0) await nextTurn();
        await this.#insist(workerId);
        if (this.#stopped) return;
      }
    }
    this.#options.onDone();
  }

  async #insist(workerId: string): Promise<void> {
    const { clock, report } = this.#options;
    while (!this.#stopped && this.#behind.has(workerId)) {
      try {
        await this.of(workerId);
      } catch (error) {
        if (this.#stopped) return;
        report(error);
        await new Promise<void>((resolve) => clock.after(limits.logRetryMs, resolve));
      }
    }
  }

  async #read(workerId: string): Promise<void> {
    const { log, foldedTo, fold, onMissed } = this.#options;
    let after = foldedTo(workerId);
    const advance = (sequence: number) => {
      // Another server may have kept more of it meanwhile, and retention have removed what is in that.
      after = Math.max(sequence, foldedTo(workerId));
    };
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
      if (this.#restarting.delete(workerId)) {
        after = foldedTo(workerId);
        continue;
      }
      if (page.kind === "expired") {
        if (foldedTo(workerId) < page.floor.sequence) onMissed(workerId);
        advance(page.floor.sequence);
        continue;
      }
      if (page.block !== undefined) {
        for (let i = 0; i < page.block.length; i++) fold(workerId, page.block, i);
      }
      advance(page.through.sequence);
    }
    if (!this.#stopped) this.#behind.delete(workerId);
  }
}
