import { hasReason, type TailraceError } from "../../src/base/errors.ts";
import type { Position } from "../../src/events/cursor.ts";
import type {
  AppendBatch,
  AppendResult,
  EventLog,
  LogHealth,
  ReadPage,
  ReadRequest,
  Scope,
  Seek,
} from "../../src/log/contract.ts";

/** A log that fails when a test says so, and is the log that it wraps otherwise. */
export class FaultyLog implements EventLog {
  /** What appends, reads and seeks throw instead of doing anything; undefined: nothing. */
  appendFault: Error | undefined;
  readFault: Error | undefined;
  readonly #log: EventLog;
  #away: LogHealth | undefined;
  readonly #healthListeners = new Set<(health: LogHealth) => void>();

  constructor(log: EventLog) {
    this.#log = log;
  }

  get identity() {
    return this.#log.identity;
  }

  get epochs() {
    return this.#log.epochs;
  }

  get isShared() {
    return this.#log.isShared;
  }

  get isKeeper() {
    return this.#log.isKeeper;
  }

  get timeMs() {
    return this.#log.timeMs;
  }

  get subjects() {
    return this.#log.subjects;
  }

  get jobSubjects() {
    return this.#log.jobSubjects;
  }

  async append(batch: AppendBatch): Promise<AppendResult> {
    if (this.appendFault !== undefined) throw this.appendFault;
    return this.#log.append(batch);
  }

  async read(request: ReadRequest): Promise<ReadPage> {
    if (this.readFault !== undefined) throw this.readFault;
    return this.#log.read(request);
  }

  async seek(scope: Scope, seek: Seek): Promise<Position> {
    if (this.readFault !== undefined) throw this.readFault;
    return this.#log.seek(scope, seek);
  }

  subscribe(listener: Parameters<EventLog["subscribe"]>[0]): () => void {
    return this.#log.subscribe(listener);
  }

  subscribeState(...args: Parameters<EventLog["subscribeState"]>): () => void {
    return this.#log.subscribeState(...args);
  }

  subscribeHealth(listener: Parameters<EventLog["subscribeHealth"]>[0]): () => void {
    const own = (health: LogHealth) => listener(health);
    this.#healthListeners.add(own);
    const stop = this.#log.subscribeHealth(own);
    return () => {
      this.#healthListeners.delete(own);
      stop();
    };
  }

  /**
   * Has the log say that it can't be used, as one does whose connection is away. Undefined: it is back. `more`: that it is
   * away for good, or can be read all the same.
   */
  say(error: TailraceError | undefined, more: "ended" | "reads" | undefined = undefined): void {
    const sinceMs = hasReason(error, "log_unavailable") ? error.details.sinceMs : 0;
    this.#away =
      error === undefined
        ? undefined
        : { available: false, sinceMs, error, ...(more === undefined ? {} : { [more]: true as const }) };
    this.appendFault = error;
    for (const listener of this.#healthListeners) listener(this.health());
  }

  reach(sequence: number) {
    return this.#log.reach(sequence);
  }

  bounds(scope: Scope) {
    return this.#log.bounds(scope);
  }

  worker(workerId: string) {
    return this.#log.worker(workerId);
  }

  workers() {
    return this.#log.workers();
  }

  job(jobId: string) {
    return this.#log.job(jobId);
  }

  jobs() {
    return this.#log.jobs();
  }

  holdAfter(sequence: number): void {
    this.#log.holdAfter(sequence);
  }

  state(key: string): Uint8Array | undefined {
    return this.#log.state(key);
  }

  stateEntries(prefix: string) {
    return this.#log.stateEntries(prefix);
  }

  health(): LogHealth {
    return this.#away ?? this.#log.health();
  }

  close(): Promise<void> {
    this.appendFault = undefined;
    return this.#log.close();
  }
}
