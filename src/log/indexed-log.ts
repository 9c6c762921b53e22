import type { Clock, StopTimer } from "../base/clock.ts";
import type { EventBlock } from "./block.ts";
import { type PendingAppend, PendingAppends } from "./commit/pending.ts";
import { maxGroupBytes, type PreparedGroup, stageGroup } from "./commit/stage.ts";
import { type AppendBatch, type AppendResult, holdKey } from "./contract.ts";
import type { LogIndex } from "./index/log-index.ts";
import type { EventArrays, Placement } from "./index/staged.ts";
import { ReadableLog } from "./readable-log.ts";

/** Age is looked after at most this often, in milliseconds: events that fall due together go together. */
const minAgeCheckMs = 1_000;

/**
 * A log that only this process writes to. It gathers appends into groups, one of which is committed at a time; where the
 * bytes go is the matter of the logs that extend it.
 */
export abstract class IndexedLog extends ReadableLog {
  readonly #pending: PendingAppends;
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #stopAgeTimer: StopTimer | undefined;
  /** What is to be trimmed though nothing is appended: what is due by now, or (once, when the log is opened) everyone. */
  #trimDue: "no" | "aged" | "all" = "no";

  protected constructor(index: LogIndex, clock: Clock) {
    super(index, clock);
    this.#pending = new PendingAppends(index);
  }

  /** Sequence that the next event gets. */
  protected abstract nextSequence(): number;
  /** Where a group of events with so many stored bytes in all will lie. */
  protected abstract place(events: EventArrays, storedBytes: number): Placement;
  /**
   * Writes a group so that it survives what was promised, and gives its block; undefined if it has no events. When it
   * throws, the group was not written, unless `fail` was called before.
   */
  protected abstract write(group: PreparedGroup): Promise<EventBlock | undefined> | EventBlock | undefined;
  /** A group was committed and what it removes is removed: time to give space back. */
  protected abstract reclaim(): void;
  /** Lets go of everything. Nothing is being written any more. */
  protected abstract release(): Promise<void>;

  append(batch: AppendBatch): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      this.assertUsable();
      const bytes = this.#pending.admit(batch);
      this.#pending.push({ batch, bytes, resolve, reject });
      this.#start();
    });
  }

  async reach(sequence: number): Promise<boolean> {
    return this.index.head.sequence >= sequence;
  }

  holdAfter(sequence: number): void {
    const { retention } = this.index;
    const moves = sequence > retention.hold;
    retention.hold = sequence;
    if (moves) this.#trim("aged");
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    this.markClosed();
    this.#stopAgeTimer?.();
    while (this.#running !== undefined) await this.#running;
    this.dropListeners();
    await this.release();
  }

  /** Removes what is beyond the limits, which may be smaller than when the log was last open, and is not held. */
  protected trimAll(): Promise<void> {
    const held = this.index.state.get(holdKey);
    if (held !== undefined) this.index.retention.hold = Number(new TextDecoder().decode(held));
    this.#trim("all");
    return this.#running ?? Promise.resolve();
  }

  #trim(what: "aged" | "all"): void {
    if (this.closed || this.failed) return;
    if (this.#trimDue !== "all") this.#trimDue = what;
    this.#start();
  }

  #start(): void {
    this.#running ??= Promise.resolve().then(() => this.#run());
  }

  async #run(): Promise<void> {
    try {
      while ((this.#pending.length > 0 || this.#trimDue !== "no") && !this.failed) {
        const trimsAll = this.#trimDue === "all";
        this.#trimDue = "no";
        const committing = this.#commit(this.#pending.take(maxGroupBytes), trimsAll);
        // A store that writes at once costs no turn of the event loop.
        if (committing !== undefined) await committing;
      }
      if (this.failed) this.#rejectWaiting();
      else this.#watchAge();
    } finally {
      this.#running = undefined;
    }
    if (this.#pending.length > 0) this.#start();
  }

  #commit(appends: readonly PendingAppend[], trimsAll: boolean): Promise<void> | undefined {
    let group: PreparedGroup | undefined;
    try {
      const place = (events: EventArrays, bytes: number) => this.place(events, bytes);
      group = stageGroup(this.index, appends, this.nextSequence(), this.clock.now(), place, trimsAll);
      const written = this.write(group);
      if (!(written instanceof Promise)) {
        this.#committed(group, written);
        return undefined;
      }
      const staged = group;
      return written.then(
        (block) => this.#committed(staged, block),
        (error: unknown) => this.#refused(appends, staged, error),
      );
    } catch (error) {
      this.#refused(appends, group, error);
      return undefined;
    }
  }

  #committed(group: PreparedGroup, block: EventBlock | undefined): void {
    const { index } = this;
    index.commit(group, group.placement);
    this.#pending.settled(group.appends);
    this.tellState(group.state);
    if (block !== undefined) this.tell(block);
    index.removal.raise(group.raises);
    this.reclaim();
    const { appends, results } = group;
    for (let i = 0; i < appends.length; i++) (appends[i] as PendingAppend).resolve(results[i] as AppendResult);
  }

  #refused(appends: readonly PendingAppend[], group: PreparedGroup | undefined, error: unknown): void {
    if (group !== undefined) this.index.rollBack(group);
    this.#pending.settled(appends);
    for (const { reject } of appends) reject(error);
  }

  #rejectWaiting(): void {
    const waiting = this.#pending.take(Number.POSITIVE_INFINITY);
    this.#pending.settled(waiting);
    for (const { reject } of waiting) reject(this.failure);
  }

  /** Comes back when the oldest event falls due. */
  #watchAge(): void {
    const { maxAgeMs } = this.index.retention;
    if (this.#stopAgeTimer !== undefined || maxAgeMs === Number.POSITIVE_INFINITY || this.closed) return;
    const oldest = this.index.retention.oldestTime();
    if (oldest === undefined) return;
    // Events that are kept for a moment only are looked after as often as that.
    const dueInMs = oldest + maxAgeMs + 1 - this.clock.now();
    const waitMs = Math.max(dueInMs, Math.min(minAgeCheckMs, maxAgeMs), 1);
    // A timer can't wait longer than 2^31 - 1 milliseconds.
    this.#stopAgeTimer = this.clock.after(Math.min(waitMs, 0x7fff_ffff), () => {
      this.#stopAgeTimer = undefined;
      this.#trim("aged");
    });
  }
}
