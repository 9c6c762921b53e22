// Live watchers while another one replays a long log.
import { BenchError } from "../harness/bench-error.ts";
import type { Cell } from "./cell.ts";
import { measureWindow, windowFigures, withServer } from "./cell.ts";

const history = 1_000_000;

function interference(replaying: boolean): Cell {
  return {
    scenario: "interference",
    setting: `20 live at 1,000/s, ${replaying ? "another replays 1,000,000" : "no replay"}`,
    measure: (context, contender) =>
      withServer(context, contender, { retainEvents: history * 2 }, async (session) => {
        await session.server.commands?.ask(`fill ${history}`);
        const windowSeconds = 5 * context.pace;
        let done = false;
        const live = measureWindow(session, contender, {
          watchers: 20,
          pace: { kind: "open", rate: 1000 },
          warmSeconds: 2,
          windowSeconds,
        }).finally(() => {
          done = true;
        });
        let replayed = 0;
        const started = performance.now();
        // Over and over, so that the whole window has it.
        while (replaying && !done) {
          const result = await session.load([
            ...["--mode", "replay", "--watchers", "1", "--target", String(history), "--cap", "20"],
            ...contender.watch({ earliest: true }),
          ]);
          if (result.events === 0) throw new BenchError("the replay got nothing");
          replayed += result.events;
        }
        const replaySeconds = (performance.now() - started) / 1000;
        return {
          ...windowFigures(await live),
          ...(replaying ? { replayed_per_second: replayed / replaySeconds } : {}),
        };
      }),
  };
}

export const interferenceCells: readonly Cell[] = [interference(false), interference(true)];
