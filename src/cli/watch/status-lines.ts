import { systemClock } from "../../base/clock.ts";
import type { StreamOutcome, WatchStatus } from "../../client/index.ts";
import { describeEnd, describeJobState } from "../output/describe.ts";
import { ReplayMeter } from "./replay-meter.ts";

/** Words for what happens to a watch, for stderr; undefined: nothing worth a line. Keeps the replay's progress. */
export class StatusLines {
  readonly replay = new ReplayMeter(systemClock);
  readonly #server: string;
  #isLogAway = false;

  constructor(server: string) {
    this.#server = server;
  }

  line(status: WatchStatus): string | undefined {
    switch (status.kind) {
      case "opened":
        this.#isLogAway = false;
        this.replay.open(status.cursor, status.latestCursor);
        return status.resumed ? `connected again to ${this.#server}` : `watching ${this.#server}`;
      case "caught_up": {
        const line = this.#isLogAway ? "the server's log can be used again" : undefined;
        this.#isLogAway = false;
        return this.replay.catchUp() ?? line;
      }
      case "log_unavailable":
        this.#isLogAway = true;
        return `${status.message} Waiting for it.`;
      case "fell_behind":
        this.replay.fallBehind(status.cursor, status.lagEvents);
        return undefined;
      case "gap":
        return `gap: ${gapText(status)}`;
      case "reconnecting":
        return `${status.error.message} Trying again in ${(status.delayMs / 1000).toFixed(1)} s (attempt ${status.attempt}).`;
      case "sequence_hole":
        return `events of worker ${status.workerId} are missing: ${status.received - status.expected} before number ${status.received}. This is a fault of the server; please report it.`;
      case "checkpoint_failed":
        return `the checkpoint could not be saved (${messageOf(status.error)}); trying again`;
      case "ended":
        return endedLine(status.outcome);
      case "bookmark":
        return undefined;
    }
  }
}

function endedLine(outcome: StreamOutcome): string {
  switch (outcome.case) {
    case "worker":
      return `ended: ${describeEnd(outcome.value)}`;
    case "job":
      return `ended: ${describeJobState(outcome.value)}`;
    default:
      return "ended";
  }
}

function gapText({ fromCursor, lostEvents: lost, lostExact }: Extract<WatchStatus, { kind: "gap" }>): string {
  if (fromCursor === "") {
    return "the log does not have the position of this cursor; how many events are missing is not known; going on with what is there";
  }
  const count = `${lostExact ? "" : "at most "}${lost.toLocaleString("en-US")}`;
  return `${count} ${lost === 1 ? "event is" : "events are"} no longer retained; going on behind them`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
