import { limits } from "../../../base/limits.ts";

/** Milliseconds between two looks at what is in flight. */
const lookMs = 250;

/** A group that was sent. */
export interface SentGroup {
  /** No other group of this server has it. */
  readonly number: number;
  /** Of its messages. */
  readonly bytes: number;
}

/** Hears of groups until they are taken. Must not throw. `sentAtMs`: by `performance.now()`. */
export interface FlightListener<T> {
  /** A group was not acknowledged, and may still be found to be. */
  silent(group: T, sentAtMs: number): void;
  /** A group was not acknowledged, or did not come back, in time. */
  late(group: T, error: unknown, sentAtMs: number): void;
}

/** NATS has said nothing of a group. */
export class NoAcknowledgement extends Error {}

interface Flight<T> {
  readonly group: T;
  readonly sentAtMs: number;
  isAcknowledged: boolean;
  /** Why it is given up soon. */
  failure: unknown;
  /** Looks until then. */
  looksLeft: number;
}

/**
 * Groups that were sent and did not come back by the tail yet, oldest first. One timer looks after all of them: most come
 * back within less than a millisecond.
 */
export class GroupsInFlight<T extends SentGroup> {
  readonly #flights = new Map<number, Flight<T>>();
  readonly #listener: FlightListener<T>;
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(listener: FlightListener<T>) {
    this.#listener = listener;
  }

  get size(): number {
    return this.#flights.size;
  }

  get isFull(): boolean {
    return this.#flights.size >= limits.natsGroupsInFlight || this.#bytes >= limits.natsBytesInFlight;
  }

  add(group: T): void {
    const sentAtMs = performance.now();
    this.#flights.set(group.number, { group, sentAtMs, isAcknowledged: false, failure: undefined, looksLeft: 0 });
    this.#bytes += group.bytes;
    this.#timer ??= setInterval(() => this.#look(), lookMs).unref();
  }

  get(number: number): T | undefined {
    return this.#flights.get(number)?.group;
  }

  /** That which was sent before all others. */
  get oldest(): T | undefined {
    for (const { group } of this.#flights.values()) return group;
    return undefined;
  }

  /** Those that were sent before one, oldest first. */
  *before(number: number): Iterable<T> {
    for (const { group } of this.#flights.values()) {
      if (group.number === number) return;
      yield group;
    }
  }

  groups(): T[] {
    return Array.from(this.#flights.values(), ({ group }) => group);
  }

  /** It is over. */
  take(number: number): void {
    const flight = this.#flights.get(number);
    if (flight === undefined) return;
    this.#flights.delete(number);
    this.#bytes -= flight.group.bytes;
  }

  /** The stream has it, so only the tail may still be late. Gives when it was sent; undefined: it is over. */
  acknowledged(number: number): number | undefined {
    const flight = this.#flights.get(number);
    if (flight !== undefined) flight.isAcknowledged = true;
    return flight?.sentAtMs;
  }

  /** It will hardly come back. */
  failed(number: number, error: unknown): void {
    const flight = this.#flights.get(number);
    if (flight === undefined || flight.looksLeft > 0) return;
    flight.failure = error;
    // Counted in looks, not in time: what has come while the process was paused is read between two of them.
    flight.looksLeft = limits.natsLateMs / lookMs;
  }

  #look(): void {
    if (this.#flights.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const now = performance.now();
    for (const [number, flight] of this.#flights) {
      if (flight.looksLeft > 0) {
        if (--flight.looksLeft === 0) this.#listener.late(flight.group, flight.failure, flight.sentAtMs);
        continue;
      }
      const waitedMs = now - flight.sentAtMs;
      if (!flight.isAcknowledged && waitedMs >= limits.natsAcknowledgeMs) {
        this.failed(number, new NoAcknowledgement("NATS did not answer"));
        this.#listener.silent(flight.group, flight.sentAtMs);
      } else if (waitedMs >= limits.natsComeBackMs) {
        this.failed(number, new Error("the tail is behind"));
      }
    }
  }
}
