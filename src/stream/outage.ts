import type { Clock, StopTimer } from "../base/clock.ts";
import type { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { EventLog, LogHealth } from "../log/contract.ts";

/** A log that can't be used, as one reader meets it: what it is told, when it tries again, and when it gives up. */
export class Outage {
  readonly #clock: Clock;
  #sinceMs: number | undefined;
  /** When the reader was told last, in this outage or in one before. */
  #toldMs = Number.NEGATIVE_INFINITY;
  #told = false;
  #stopRetry: StopTimer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the next try to read is still to come. */
  get waiting(): boolean {
    return this.#stopRetry !== undefined;
  }

  /** The log could not be used now. What follows: the reader is to be told, nothing, or it went on for too long. */
  met(): "tell" | "wait" | "too long" {
    const now = this.#clock.monotonic();
    this.#sinceMs ??= now;
    if (now - this.#sinceMs >= limits.logUnavailableMs) return "too long";
    // A connection that comes and goes must not make a notice each time.
    return this.#told || now - this.#toldMs < limits.logNoticeMs ? "wait" : "tell";
  }

  /** The reader was told. */
  told(): void {
    this.#told = true;
    this.#toldMs = this.#clock.monotonic();
  }

  /** Calls back when it is time to read again. */
  retryLater(retry: () => void): void {
    this.#stopRetry ??= this.#clock.after(limits.logRetryMs, () => {
      this.#stopRetry = undefined;
      retry();
    });
  }

  /** The log can be used, or nobody asks any more. */
  over(): void {
    this.#sinceMs = undefined;
    this.#told = false;
    this.#stopRetry?.();
    this.#stopRetry = undefined;
  }
}

/** Those that read the log together. */
export interface LogReaders {
  readonly size: number;
  /** The log says that it can't be used. Called again now and then while that lasts. */
  logUnavailable(error: TailraceError): void;
  /** It stays so. */
  logEnded(error: TailraceError): void;
  /** It can be used again. */
  logAvailable(): void;
}

/** Follows what the log says of itself, so that readers who need nothing of it right now hear of it as well. */
export class LogOutages {
  readonly #clock: Clock;
  readonly #readers: LogReaders;
  readonly #unsubscribe: () => void;
  #health: LogHealth;
  #stopTimer: StopTimer | undefined;

  constructor(log: EventLog, clock: Clock, readers: LogReaders) {
    this.#clock = clock;
    this.#readers = readers;
    this.#health = log.health();
    this.#unsubscribe = log.subscribeHealth((health) => this.#change(health));
  }

  /** Why the log can't be read; undefined: it can. */
  get error(): TailraceError | undefined {
    return unreadable(this.#health)?.error;
  }

  /** A reader came: it hears what those before it have heard. */
  joined(reader: Pick<LogReaders, "logUnavailable">): void {
    const health = unreadable(this.#health);
    if (health === undefined) return;
    if (health.ended === true) {
      this.#readers.logEnded(health.error);
      return;
    }
    reader.logUnavailable(health.error);
    this.#sayLater(health.error);
  }

  close(): void {
    this.#unsubscribe();
    this.#stopTimer?.();
  }

  #change(next: LogHealth): void {
    const before = unreadable(this.#health);
    const health = unreadable(next);
    this.#health = next;
    if (before === health) return;
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    if (health === undefined) this.#readers.logAvailable();
    else if (health.ended === true) this.#readers.logEnded(health.error);
    else this.#say(health.error);
  }

  #say(error: TailraceError): void {
    this.#readers.logUnavailable(error);
    this.#sayLater(error);
  }

  /** One timer for all readers: those that could not be told, or not yet, and those that are to give up. */
  #sayLater(error: TailraceError): void {
    if (this.#readers.size === 0) return;
    this.#stopTimer ??= this.#clock.after(limits.logRetryMs, () => {
      this.#stopTimer = undefined;
      this.#say(error);
    });
  }
}

/** What keeps readers from the log; undefined: nothing. That nobody can append here is no matter to them. */
function unreadable(health: LogHealth): Extract<LogHealth, { available: false }> | undefined {
  return health.available || health.reads === true ? undefined : health;
}
