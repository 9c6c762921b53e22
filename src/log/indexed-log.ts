import type { Clock, StopTimer } from "../base/clock.ts";
import { TailraceError } from "../base/errors.ts";
import type { Position } from "../events/cursor.ts";
import type { EventBlock } from "./block.ts";
import { type PendingAppend, PendingAppends } from "./commit/pending.ts";
import { maxGroupBytes, type PreparedGroup, stageGroup } from "./commit/stage.ts";
import {
  type AppendBatch,
  type AppendResult,
  type EventLog,
  holdKey,
  type JobRecord,
  type LogHealth,
  type LogIdentity,
  type ReadPage,
  type ReadRequest,
  type Scope,
  type ScopeBounds,
  type Seek,
  type WorkerRecord,
} from "./contract.ts";
import { blockOf, type Layout, layOut } from "./index/extents.ts";
import { type LogIndex, recordOfJob, recordOfWorker } from "./index/log-index.ts";
import { boundsOf } from "./index/scope.ts";
import { seekPosition } from "./index/seek.ts";
import { selectRows } from "./index/selection.ts";
import type { EventArrays, Placement } from "./index/staged.ts";
import type { Subjects } from "./subjects.ts";

/** Age is looked after at most this often, in milliseconds: events that fall due together go together. */
const minAgeCheckMs = 1_000;

/** Milliseconds after which a client whose append met a failed or closed log should ask again. */
const retryAfterMs = 5_000;

/** Bytes of a page, and where its events lie in them. */
export interface FetchedBytes {
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

/**
 * A log whose index is in the memory of this process. It gathers appends into groups, one of which is committed at a
 * time; where the bytes go is the matter of the logs that extend it.
 */
export abstract class IndexedLog implements EventLog {
  abstract readonly identity: LogIdentity;
  protected readonly index: LogIndex;
  protected readonly clock: Clock;
  readonly #pending: PendingAppends;
  readonly #listeners = new Set<(block: EventBlock) => void>();
  #running: Promise<void> | undefined;
  #closedAtMs: number | undefined;
  #closing: Promise<void> | undefined;
  #failure: { sinceMs: number; error: TailraceError } | undefined;
  #stopAgeTimer: StopTimer | undefined;
  /** What is to be trimmed though nothing is appended: what is due by now, or (once, when the log is opened) everyone. */
  #trimDue: "no" | "aged" | "all" = "no";

  protected constructor(index: LogIndex, clock: Clock) {
    this.index = index;
    this.clock = clock;
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
  /** Fetches the bytes of a page, into `memory` where there is some and they fit. */
  protected abstract fetch(layout: Layout, memory: Uint8Array | undefined): Promise<FetchedBytes> | FetchedBytes;
  /** A group was committed and what it removes is removed: time to give space back. */
  protected abstract reclaim(): void;
  /** Lets go of everything. Nothing is being written any more. */
  protected abstract release(): Promise<void>;

  get subjects(): Subjects {
    return this.index.subjects;
  }

  get jobSubjects(): Subjects {
    return this.index.jobSubjects;
  }

  append(batch: AppendBatch): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      this.assertUsable();
      const bytes = this.#pending.admit(batch);
      this.#pending.push({ batch, bytes, resolve, reject });
      this.#start();
    });
  }

  subscribe(listener: (block: EventBlock) => void): () => void {
    // A function of its own per subscription, so that the same listener may subscribe twice.
    const own = (block: EventBlock) => listener(block);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  bounds(scope: Scope): ScopeBounds {
    return boundsOf(this.index, scope);
  }

  async read(request: ReadRequest): Promise<ReadPage> {
    this.assertUsable();
    const selection = selectRows(this.index, request);
    if (selection.kind === "expired") return selection;
    const { rows, through } = selection;
    if (rows === undefined) return { kind: "page", block: undefined, through };
    const { bytes, starts, ends } = await this.fetch(layOut(rows), request.memory);
    return { kind: "page", block: blockOf(rows, this.subjects, this.jobSubjects, bytes, starts, ends), through };
  }

  async seek(scope: Scope, seek: Seek): Promise<Position> {
    this.assertUsable();
    return seekPosition(this.index, scope, seek);
  }

  worker(workerId: string): WorkerRecord | undefined {
    const entry = this.index.workers.entryOf(workerId);
    return entry === undefined ? undefined : recordOfWorker(entry);
  }

  *workers(): Iterable<WorkerRecord> {
    for (const entry of this.index.workers.existing()) yield recordOfWorker(entry);
  }

  job(jobId: string): JobRecord | undefined {
    const entry = this.index.jobs.entryOf(jobId);
    return entry === undefined ? undefined : recordOfJob(entry);
  }

  *jobs(): Iterable<JobRecord> {
    for (const entry of this.index.jobs.existing()) yield recordOfJob(entry);
  }

  holdAfter(sequence: number): void {
    const { retention } = this.index;
    const moves = sequence > retention.hold;
    retention.hold = sequence;
    if (moves) this.#trim("aged");
  }

  state(key: string): Uint8Array | undefined {
    return this.index.state.get(key);
  }

  *stateEntries(prefix: string): Iterable<readonly [string, Uint8Array]> {
    for (const entry of this.index.state) if (entry[0].startsWith(prefix)) yield entry;
  }

  health(): LogHealth {
    if (this.#failure !== undefined) return { available: false, ...this.#failure };
    if (this.#closedAtMs !== undefined) {
      return { available: false, sinceMs: this.#closedAtMs, error: this.unavailable("The log is closed.") };
    }
    return { available: true };
  }

  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    this.#closedAtMs = this.clock.now();
    this.#stopAgeTimer?.();
    while (this.#running !== undefined) await this.#running;
    this.#listeners.clear();
    await this.release();
  }

  /** Whether the log can't be written to any more for good. */
  protected get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Gives the log up: nothing that is on its way may be trusted. */
  protected fail(message: string, cause: unknown): TailraceError {
    this.#failure ??= { sinceMs: this.clock.now(), error: this.unavailable(message, cause) };
    return this.#failure.error;
  }

  protected unavailable(message: string, cause?: unknown): TailraceError {
    return new TailraceError(
      "log_unavailable",
      { sinceMs: this.clock.now(), retryAfterMs },
      message,
      cause === undefined ? {} : { cause },
    );
  }

  protected assertUsable(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#closedAtMs !== undefined) throw this.unavailable("The log is closed.");
  }

  /** Removes what is beyond the limits, which may be smaller than when the log was last open, and is not held. */
  protected trimAll(): Promise<void> {
    const held = this.index.state.get(holdKey);
    if (held !== undefined) this.index.retention.hold = Number(new TextDecoder().decode(held));
    this.#trim("all");
    return this.#running ?? Promise.resolve();
  }

  #trim(what: "aged" | "all"): void {
    if (this.#closedAtMs !== undefined || this.failed) return;
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
    if (block !== undefined) for (const listener of [...this.#listeners]) listener(block);
    index.raise(group.raises);
    this.reclaim();
    for (const [i, { resolve }] of group.appends.entries()) resolve(group.results[i] as AppendResult);
  }

  #refused(appends: readonly PendingAppend[], group: PreparedGroup | undefined, error: unknown): void {
    if (group !== undefined) this.index.rollBack(group);
    this.#pending.settled(appends);
    for (const { reject } of appends) reject(error);
  }

  #rejectWaiting(): void {
    const waiting = this.#pending.take(Number.POSITIVE_INFINITY);
    this.#pending.settled(waiting);
    for (const { reject } of waiting) reject(this.#failure?.error);
  }

  /** Comes back when the oldest event falls due. */
  #watchAge(): void {
    const { maxAgeMs } = this.index.retention;
    if (this.#stopAgeTimer !== undefined || maxAgeMs === Number.POSITIVE_INFINITY || this.#closedAtMs !== undefined)
      return;
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
