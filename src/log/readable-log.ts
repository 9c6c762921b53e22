import type { Clock } from "../base/clock.ts";
import { TailraceError } from "../base/errors.ts";
import type { Position } from "../events/cursor.ts";
import type { Epochs } from "../events/epochs.ts";
import type { EventBlock } from "./block.ts";
import type {
  AppendBatch,
  AppendResult,
  BlockListener,
  EventLog,
  JobRecord,
  LogHealth,
  LogIdentity,
  ReadPage,
  ReadRequest,
  Scope,
  ScopeBounds,
  Seek,
  StateListener,
  WorkerRecord,
} from "./contract.ts";
import { blockOf, type Layout, layOut } from "./index/extents.ts";
import { type LogIndex, recordOfJob, recordOfWorker } from "./index/log-index.ts";
import { boundsOf } from "./index/scope.ts";
import { seekPosition } from "./index/seek.ts";
import { selectRows } from "./index/selection.ts";
import type { Subjects } from "./subjects.ts";

/** Milliseconds after which a client whose append met a failed or closed log should ask again. */
const retryAfterMs = 5_000;

/** Bytes of a page, and where its events lie in them. */
export interface FetchedBytes {
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

/** A log whose index is in the memory of this process: everything about it that does not depend on who commits. */
export abstract class ReadableLog implements EventLog {
  abstract readonly identity: LogIdentity;
  protected readonly index: LogIndex;
  protected readonly clock: Clock;
  readonly #listeners = new Set<BlockListener>();
  readonly #stateListeners = new Set<{ readonly prefix: string; readonly listener: StateListener }>();
  readonly #healthListeners = new Set<(health: LogHealth) => void>();
  #closedAtMs: number | undefined;
  #failure: { sinceMs: number; error: TailraceError } | undefined;

  protected constructor(index: LogIndex, clock: Clock) {
    this.index = index;
    this.clock = clock;
  }

  abstract append(batch: AppendBatch): Promise<AppendResult>;
  abstract reach(sequence: number): Promise<boolean>;
  abstract holdAfter(sequence: number): void;
  abstract close(): Promise<void>;

  /**
   * Fetches the bytes of a page, into `memory` where there is some and they fit. Undefined: some of them are gone, which
   * the index says by now, so what the page holds is to be decided again.
   */
  protected abstract fetch(
    layout: Layout,
    memory: Uint8Array | undefined,
  ): Promise<FetchedBytes | undefined> | FetchedBytes | undefined;

  get isShared(): boolean {
    return false;
  }

  get isKeeper(): boolean {
    return true;
  }

  get timeMs(): number {
    return this.index.timeMs;
  }

  get epochs(): Epochs {
    return this.index.epochs;
  }

  get subjects(): Subjects {
    return this.index.subjects;
  }

  get jobSubjects(): Subjects {
    return this.index.jobSubjects;
  }

  subscribe(listener: BlockListener): () => void {
    // A function of its own per subscription, so that the same listener may subscribe twice.
    const own: BlockListener = (block, done) => listener(block, done);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  bounds(scope: Scope): ScopeBounds {
    return boundsOf(this.index, scope);
  }

  async read(request: ReadRequest): Promise<ReadPage> {
    this.assertUsable();
    for (;;) {
      const selection = selectRows(this.index, request);
      if (selection.kind === "expired") return selection;
      const { rows, through } = selection;
      if (rows === undefined) return { kind: "page", block: undefined, through };
      const fetched = await this.fetch(layOut(rows, request.memory), request.memory?.bytes);
      if (fetched === undefined) continue;
      const { bytes, starts, ends } = fetched;
      return { kind: "page", block: blockOf(rows, this.subjects, this.jobSubjects, bytes, starts, ends), through };
    }
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

  state(key: string): Uint8Array | undefined {
    return this.index.state.get(key);
  }

  *stateEntries(prefix: string): Iterable<readonly [string, Uint8Array]> {
    for (const entry of this.index.state) if (entry[0].startsWith(prefix)) yield entry;
  }

  subscribeState(prefix: string, listener: StateListener): () => void {
    const own = { prefix, listener };
    this.#stateListeners.add(own);
    return () => this.#stateListeners.delete(own);
  }

  subscribeHealth(listener: (health: LogHealth) => void): () => void {
    const own = (health: LogHealth) => listener(health);
    this.#healthListeners.add(own);
    return () => this.#healthListeners.delete(own);
  }

  health(): LogHealth {
    if (this.#failure !== undefined) return { available: false, ...this.#failure };
    if (this.#closedAtMs !== undefined) {
      return { available: false, sinceMs: this.#closedAtMs, error: this.unavailable("The log is closed.") };
    }
    return { available: true };
  }

  /** State was put, which is committed by now. */
  protected tellState(state: ReadonlyMap<string, Uint8Array | null>): void {
    if (state.size === 0) return;
    for (const { prefix, listener } of [...this.#stateListeners]) {
      for (const [key, value] of state) if (key.startsWith(prefix)) listener(key, value ?? undefined);
    }
  }

  /** What `health` says has changed. */
  protected tellHealth(): void {
    const health = this.health();
    for (const listener of [...this.#healthListeners]) listener(health);
  }

  /** A block was committed. `unread` is called once nobody reads its bytes any more, if that is ever known. */
  protected tell(block: EventBlock, unread?: () => void): void {
    const listeners = [...this.#listeners];
    let readers = listeners.length;
    if (readers === 0) unread?.();
    const done = () => {
      readers--;
      if (readers === 0) unread?.();
    };
    for (const listener of listeners) listener(block, done);
  }

  protected dropListeners(): void {
    this.#listeners.clear();
    this.#stateListeners.clear();
    this.#healthListeners.clear();
  }

  protected get closed(): boolean {
    return this.#closedAtMs !== undefined;
  }

  protected markClosed(): void {
    this.#closedAtMs ??= this.clock.now();
  }

  /** Why the log was given up. */
  protected get failure(): TailraceError | undefined {
    return this.#failure?.error;
  }

  /** Whether the log can't be written to any more for good. */
  protected get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Gives the log up: nothing that is on its way may be trusted. */
  protected fail(message: string, cause: unknown): TailraceError {
    if (this.#failure === undefined) {
      this.#failure = { sinceMs: this.clock.now(), error: this.unavailable(message, cause) };
      this.tellHealth();
    }
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
}
