import { systemClock } from "../../../base/clock.ts";
import type { TailraceError } from "../../../base/errors.ts";
import type { LogHealth } from "../../contract.ts";
import type { NatsLink } from "../connection/connect.ts";
import { Availability } from "./availability.ts";
import { ServerCheck } from "./server-check.ts";
import { TailCheck } from "./tail-check.ts";
import { type SentWrite, WriteCheck, type WriteKind } from "./write-check.ts";

/** What is done where something is missing. */
export interface HealthActions {
  /** It can be used again or no more, or what can be done with it has changed. Must not throw. */
  changed(isAvailable: boolean): void;
  /** Writes something of a kind that says nothing, at once. Must not throw. */
  probe(kind: WriteKind): void;
  /** Makes the tail anew. */
  hearAgain(): void;
}

/** Whether a log can be used: hears what each part of it meets, and keeps what the log can't do without in one place. */
export class Health {
  readonly #availability: Availability;
  readonly #writes: WriteCheck;
  readonly #feed: TailCheck;

  /** Its server is looked at until the connection ends. */
  constructor(link: NatsLink, namespace: string, actions: HealthActions) {
    // Not by the clock of the log, which a test moves: NATS takes its time.
    this.#availability = new Availability(systemClock, actions.changed);
    if (link.awaySinceMs !== undefined) this.#availability.misses("link");
    link.subscribe((connected) => {
      if (connected) this.#availability.has("link");
      else this.#availability.misses("link");
    });
    void new ServerCheck(link, namespace, this.#availability);
    this.#writes = new WriteCheck(link, this.#availability, actions.probe);
    this.#feed = new TailCheck(this.#availability, actions.hearAgain);
  }

  get isAvailable(): boolean {
    return this.#availability.isAvailable;
  }

  now(): LogHealth {
    return this.#availability.health();
  }

  /** @throws TailraceError `log_unavailable` if the log can't be read now. */
  assertReadable(): void {
    const health = this.now();
    if (!health.available && health.reads !== true) throw health.error;
  }

  /** @throws TailraceError `log_unavailable` if nothing can be appended now. */
  assertWritable(): void {
    const health = this.now();
    if (!health.available) throw health.error;
  }

  /** Whether NATS sends what comes into the stream. */
  tail(isRunning: boolean): void {
    if (isRunning) this.#availability.has("tail");
    else this.#availability.misses("tail");
  }

  /** The stream is asked for something, or has answered. */
  stream(isAnswer: boolean): void {
    if (isAnswer) this.#availability.has("stream");
    else this.#availability.misses("stream");
  }

  /** As `TailCheck.looked`. */
  looked(newest: number, heard: number): void {
    this.#feed.looked(newest, heard);
  }

  /** The stream has taken a write. */
  acknowledged(kind: WriteKind): void {
    this.#availability.has("stream");
    this.#writes.taken(kind);
  }

  /** The stream has no room for a write, which its upkeep sees to: it takes what there is room for. */
  noRoom(kind: WriteKind): void {
    this.#writes.taken(kind);
  }

  /** A write was refused for another reason, or there is nobody who takes it. */
  refused(error: TailraceError, kind: WriteKind, isProbe: boolean): void {
    this.#writes.refused(kind, isProbe, error);
  }

  /** NATS does not answer for a write. `isOver`: and it is given up. */
  unanswered(write: SentWrite, isOver: boolean): void {
    if (isOver) this.#writes.unanswered(write);
    else this.#writes.late(write);
  }

  /** Nothing is said or written any more. */
  stop(): void {
    this.#availability.stop();
    this.#writes.stop();
  }
}
