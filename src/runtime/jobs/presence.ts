import { randomBytes } from "node:crypto";
import type { Clock, StopTimer } from "../../base/clock.ts";
import { limits } from "../../base/limits.ts";
import type { EventLog, StatePut } from "../../log/contract.ts";
import { appendDecided } from "../decided.ts";
import { Members } from "./members.ts";

/** Where the log's state keeps which servers share it: the number of the last beat of each. */
export const serverPrefix = "server/";

/** What presence tells of others. */
export interface PresenceListener {
  /** A server has left or was lost: its jobs are anyone's. */
  gone(): void;
  /** This server has said that it is there, which it does every limits.serverPresenceMs. */
  beat(): void;
}

/** This server among those that share a log. On a log that is not shared it is alone, has no id, and says nothing. */
export class Presence {
  /** Drawn anew for each Runtime, so that one that is started again is another server. */
  readonly id: string;
  readonly #log: EventLog;
  readonly #clock: Clock;
  /** Never throws. */
  readonly #report: (error: unknown) => void;
  readonly #members = new Members(limits.serverLostBeats);
  #listener: PresenceListener | undefined;
  #unsubscribe: (() => void) | undefined;
  #number = 0;
  #stopTimer: StopTimer | undefined;
  #sending = false;
  #stopped = false;

  constructor(log: EventLog, clock: Clock, report: (error: unknown) => void) {
    this.#log = log;
    this.#clock = clock;
    this.#report = report;
    this.id = log.isShared ? randomBytes(12).toString("base64url") : "";
  }

  /** Whether a job with this owner is this server's. Alone, it has those of all before it. */
  owns(owner: string): boolean {
    return !this.#log.isShared || owner === this.id;
  }

  /** Whether nobody has the jobs of this owner. */
  isGone(owner: string): boolean {
    return this.#log.isShared && owner !== this.id && !this.#members.has(owner);
  }

  /** What refuses an append as soon as a server that is gone comes back. */
  fenceOf(owner: string): readonly string[] {
    return owner === "" ? [] : [`${serverPrefix}${owner}`];
  }

  /**
   * What an append depends on that makes a job this server's: that others know of this server. Where they do not, because it
   * is new or was found lost, the append itself tells them.
   */
  require(state: Map<string, StatePut>): readonly string[] {
    if (!this.#log.isShared) return [];
    if (this.#log.state(this.#key) !== undefined) return [this.#key];
    state.set(this.#key, encodeBeat(this.#number));
    return [];
  }

  /** Begins to beat, and to listen to others. */
  start(listener: PresenceListener): void {
    if (!this.#log.isShared) return;
    this.#listener = listener;
    for (const [key] of this.#log.stateEntries(serverPrefix)) this.#members.heard(key.slice(serverPrefix.length));
    this.#unsubscribe = this.#log.subscribeState(serverPrefix, (key, value) => this.#heard(key, value));
    this.#beat();
  }

  /** Takes over nobody's jobs any more. */
  stopLooking(): void {
    this.#listener = undefined;
  }

  /** Leaves: what waits here is anyone's. */
  async leave(): Promise<void> {
    if (!this.#log.isShared || this.#stopped) return;
    this.#stopped = true;
    this.#stopTimer?.();
    try {
      await appendDecided(this.#log, () => ({ events: [], state: new Map([[this.#key, null]]) }));
    } catch (error) {
      // The others find out by themselves.
      this.#report(error);
    }
    this.#unsubscribe?.();
  }

  get #key(): string {
    return `${serverPrefix}${this.id}`;
  }

  #heard(key: string, value: Uint8Array | undefined): void {
    const id = key.slice(serverPrefix.length);
    if (id !== this.id) {
      if (value !== undefined) this.#members.heard(id);
      else {
        this.#members.gone(id);
        this.#listener?.gone();
      }
    } else if (value !== undefined) {
      this.#members.beat(decodeBeat(value));
    } else if (!this.#stopped) {
      // It was paused, or cut off, and others took it for lost.
      this.#beat();
    }
  }

  /** One at a time: those that wait for a log that is away would all come at once, and find everyone else lost. */
  #beat(): void {
    if (this.#sending) return;
    this.#stopTimer?.();
    this.#sending = true;
    const number = this.#number + 1;
    const sent = appendDecided(this.#log, () =>
      // Not behind all that this server publishes, or a healthy one would be found lost under load. Appends that depend on
      // the key do so on its being there, so it does not matter which of them comes first.
      this.#stopped ? undefined : { events: [], state: new Map([[this.#key, encodeBeat(number)]]), urgent: true },
    );
    sent.then(
      () => {
        this.#number = number;
        this.#next(limits.serverPresenceMs);
        this.#dropLost();
        this.#listener?.beat();
      },
      // The log says itself that it is away.
      () => this.#next(limits.jobRetryAfterMs),
    );
  }

  #next(ms: number): void {
    this.#sending = false;
    if (this.#stopped) return;
    // It was found lost while it said that it is there.
    const isKnown = this.#log.state(this.#key) !== undefined;
    this.#stopTimer = this.#clock.after(isKnown ? ms : Math.min(ms, limits.jobRetryAfterMs), () => this.#beat());
  }

  #dropLost(): void {
    if (this.#listener === undefined) return;
    for (const id of this.#members.lost) {
      const dropped = appendDecided(this.#log, () =>
        this.#members.isLost(id) ? { events: [], state: new Map([[`${serverPrefix}${id}`, null]]) } : undefined,
      );
      // Whoever else finds it lost drops it, or this server with its next beat.
      dropped.catch(() => undefined);
    }
  }
}

function encodeBeat(number: number): Uint8Array {
  return new TextEncoder().encode(String(number));
}

function decodeBeat(value: Uint8Array): number {
  return Number(new TextDecoder().decode(value));
}
