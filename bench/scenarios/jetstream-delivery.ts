// Live delivery to watchers of two servers with one log in JetStream, and to as many consumers of JetStream itself.
import type { Cell, Pace } from "./cell.ts";
import { measureWindow, windowFigures, withServer } from "./cell.ts";

const servers = 2;

/** For all: V8 compiles at each of the two servers, which share a core, for most of that. */
const warmSeconds = 10;

function delivery(watchers: number, setting: string, pace: Pace): Cell {
  return {
    scenario: "jetstream-delivery",
    setting: `${watchers} watchers, ${setting}`,
    measure: (context, contender) =>
      withServer(context, contender, { servers }, async (session) => ({
        ...(pace.kind === "open" ? { offered_per_second: pace.rate * watchers } : {}),
        ...windowFigures(
          await measureWindow(session, contender, {
            watchers,
            pace,
            warmSeconds,
            windowSeconds:
              pace.kind === "closed" && watchers >= 1000 && contender.burstsAtManyWatchers === true
                ? 16
                : 4 * context.pace,
          }),
        ),
      })),
  };
}

const closed: Pace = { kind: "closed", ahead: 1024 };

export const jetstreamDeliveryCells: readonly Cell[] = [
  delivery(100, "closed loop", closed),
  delivery(1000, "closed loop", closed),
  delivery(100, "2,000 events/s", { kind: "open", rate: 2000 }),
  delivery(1000, "200 events/s", { kind: "open", rate: 200 }),
];
