// What watchers cost while nothing happens, and what stalled ones cost while much does.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BenchError } from "../harness/bench-error.ts";
import type { Cell, Session } from "./cell.ts";
import { measureWindow, windowFigures, withServer } from "./cell.ts";

/** Time that a server gets to settle before its memory is read, in milliseconds. */
const settleMs = 2500;

/** Resident memory of processes. */
export function residentKb(pids: readonly number[]): number {
  let total = 0;
  for (const pid of pids) {
    const found = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    total += Number(found?.[1] ?? 0);
  }
  return total;
}

// Garbage of the admission is not what a watcher holds, so servers with a collector run it first.
async function settledKb(session: Session): Promise<number> {
  await sleep(settleMs / 2);
  await session.server.commands?.ask("gc");
  await sleep(settleMs / 2);
  return residentKb(session.server.pids);
}

const idle: Cell = {
  scenario: "idle",
  setting: "1,000 and 5,000 watchers",
  measure: (context, contender) =>
    withServer(context, contender, {}, async (session) => {
      const base = await settledKb(session);
      const readings: number[] = [];
      await session.load(
        ["--mode", "idle", "--steps", "1000,5000", "--cap", "30", "--burst", "5000", ...contender.watch({})],
        {
          async admitted({ admitted, of }) {
            if (admitted < of) throw new BenchError(`only ${admitted} of ${of} watchers were admitted in 30 s`);
            readings.push(await settledKb(session));
          },
        },
      );
      const [thousand, fiveThousand] = readings;
      if (thousand === undefined || fiveThousand === undefined) throw new BenchError("a step is missing");
      return {
        base_mb: base / 1024,
        kb_per_watcher_at_1000: (thousand - base) / 1000,
        kb_per_watcher_at_5000: (fiveThousand - base) / 5000,
        kb_per_watcher_slope: (fiveThousand - thousand) / 4000,
      };
    }),
};

const admission: Cell = {
  scenario: "idle",
  setting: "admission of 5,000",
  measure: (context, contender) =>
    withServer(context, contender, {}, async (session) => {
      let ms = Number.NaN;
      const stages = {
        admitted(admitted: { readonly admitted: number; readonly of: number; readonly ms: number }): void {
          if (admitted.admitted < admitted.of) throw new BenchError(`only ${admitted.admitted} were admitted in 30 s`);
          ms = admitted.ms;
        },
      };
      await session.load(
        // A thousand connect at a time: with more, the kernel's queue of 4,096 would drop them, and what is measured is TCP's retry.
        ["--mode", "idle", "--steps", "5000", "--cap", "30", "--burst", "1000", ...contender.watch({})],
        stages,
      );
      return { admission_ms: ms };
    }),
};

function stalled(stall: number): Cell {
  return {
    scenario: "stalled",
    setting: `${stall} of 20 stalled, 3,000/s`,
    measure: (context, contender) =>
      // Retention is reached before the window begins, so that a full log is not taken for growth.
      withServer(context, contender, { retainEvents: 10_000 }, async (session) => {
        const result = await measureWindow(session, contender, {
          watchers: 20,
          stall,
          pace: { kind: "open", rate: 3000 },
          warmSeconds: Math.max(5, 8 * context.pace),
          windowSeconds: 30 * context.pace,
        });
        return { ...windowFigures(result), growth_mb: (result.rss_end_kb - result.rss_start_kb) / 1024 };
      }),
  };
}

export const memoryCells: readonly Cell[] = [idle, admission, stalled(0), stalled(10)];
