// Live delivery: at saturation, at a fixed rate, and one event at a time.
import type { Cell } from "./cell.ts";
import { measureWindow, windowFigures, withServer } from "./cell.ts";

// Events that may be published and not yet seen by the slowest watcher. With few watchers more of them, so that the
// publisher is not what waits.
function aheadOf(watchers: number): number {
  return watchers <= 10 ? 4096 : 1024;
}

function fanout(watchers: number): Cell {
  return {
    scenario: "fanout",
    setting: watchers === 1 ? "1 watcher" : `${watchers} watchers`,
    measure: (context, contender) =>
      withServer(context, contender, {}, async (session) =>
        windowFigures(
          await measureWindow(session, contender, {
            watchers,
            pace: { kind: "closed", ahead: aheadOf(watchers) },
            warmSeconds: 1,
            windowSeconds:
              watchers >= 1000 && contender.burstsAtManyWatchers === true
                ? 16
                : (watchers >= 1000 ? 4 : 2) * context.pace,
          }),
        ),
      ),
  };
}

function openLoop(rate: number, watchers: number): Cell {
  return {
    scenario: "open-loop",
    setting: `${rate}/s to ${watchers}`,
    measure: (context, contender) =>
      withServer(context, contender, {}, async (session) => ({
        offered_per_second: rate * watchers,
        ...windowFigures(
          await measureWindow(session, contender, {
            watchers,
            pace: { kind: "open", rate },
            warmSeconds: 1.5,
            windowSeconds: 4 * context.pace,
          }),
        ),
      })),
  };
}

const single: Cell = {
  scenario: "single",
  setting: "1 event, 1 watcher",
  measure: (context, contender) =>
    withServer(context, contender, {}, async (session) =>
      windowFigures(
        await measureWindow(session, contender, {
          watchers: 1,
          pace: { kind: "single", intervalMs: 5 },
          warmSeconds: 1,
          windowSeconds: 4 * context.pace,
        }),
      ),
    ),
};

// The same number of deliveries: to 1,000 watchers of everything, and to 1,000 watchers of a worker each.
function workers(setting: string, rate: number, distinct: boolean): Cell {
  return {
    scenario: "workers",
    setting,
    measure: (context, contender) =>
      withServer(context, contender, {}, async (session) => {
        await session.server.commands?.ask("workers 1000");
        return windowFigures(
          await measureWindow(session, contender, {
            watchers: 1000,
            pace: { kind: "open", rate },
            workers: distinct ? 1000 : 1,
            watching: { workers: distinct },
            warmSeconds: 1.5,
            windowSeconds: 4 * context.pace,
          }),
        );
      }),
  };
}

export const deliveryCells: readonly Cell[] = [
  fanout(1),
  fanout(10),
  fanout(100),
  fanout(1000),
  openLoop(10_000, 100),
  openLoop(30_000, 100),
  openLoop(100, 1000),
  single,
  workers("100/s, 1,000 watchers of all", 100, false),
  workers("100,000/s, 1,000 watchers of one each", 100_000, true),
];
