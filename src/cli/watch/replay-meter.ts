import type { Event } from "../../../gen/tailrace/v1/event_pb.ts";
import type { Clock } from "../../base/clock.ts";
import { decodeCursor } from "../../events/cursor.ts";

/** Milliseconds of replay after which, and between which, it says how far it is. Shorter replays pass without a word. */
const reportEveryMs = 1_000;

/** Tells how far a replay is and how fast it goes. */
export class ReplayMeter {
  readonly #clock: Clock;
  #replaying = false;
  #startedMs = 0;
  #reportedMs = 0;
  #reportedEvents = 0;
  #events = 0;
  #from = 0;
  #to = 0;
  #spoke = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A connection opened that begins at `cursor`, with `latestCursor` the newest position of the scope. */
  open(cursor: string, latestCursor: string): void {
    this.#from = sequenceOf(cursor);
    this.#to = sequenceOf(latestCursor);
    this.#begin();
  }

  /** The watch fell behind a server that has this many more events. */
  fallBehind(cursor: string, lagEvents: number): void {
    this.#from = sequenceOf(cursor);
    this.#to = this.#from + lagEvents;
    this.#begin();
  }

  /** Counts events. Gives a line when it is time for one. */
  advance(events: readonly Event[]): string | undefined {
    if (!this.#replaying) return undefined;
    this.#events += events.length;
    const now = this.#clock.monotonic();
    const elapsed = now - this.#reportedMs;
    if (elapsed < reportEveryMs) return undefined;
    const sequence = Number((events[events.length - 1] as Event).sequence);
    const perSecond = ((this.#events - this.#reportedEvents) * 1000) / elapsed;
    this.#reportedMs = now;
    this.#reportedEvents = this.#events;
    this.#spoke = true;
    const share = this.#to > this.#from ? Math.min(1, (sequence - this.#from) / (this.#to - this.#from)) : 1;
    return `replayed ${counted(this.#events)} events, ${Math.floor(share * 100)}% of what is there, ${counted(perSecond)}/s`;
  }

  /** The watch is live. Gives a summary if the replay took long enough to have said something. */
  catchUp(): string | undefined {
    if (!this.#replaying) return undefined;
    this.#replaying = false;
    if (!this.#spoke) return undefined;
    const seconds = Math.max(0.001, (this.#clock.monotonic() - this.#startedMs) / 1000);
    return `caught up: ${counted(this.#events)} events in ${seconds.toFixed(1)} s, ${counted(this.#events / seconds)}/s`;
  }

  #begin(): void {
    this.#replaying = true;
    this.#spoke = false;
    this.#events = 0;
    this.#reportedEvents = 0;
    this.#startedMs = this.#clock.monotonic();
    this.#reportedMs = this.#startedMs;
  }
}

/** The sequence that a cursor stands for; 0 where it is not one of a runtime (a relay's own). */
function sequenceOf(cursor: string): number {
  try {
    return decodeCursor(cursor).position.sequence;
  } catch {
    return 0;
  }
}

function counted(number: number): string {
  return Math.round(number).toLocaleString("en-US");
}
