// Replay of a long log, and acknowledged appends.
import { setTimeout as sleep } from "node:timers/promises";
import type { Contender } from "../contenders/contract.ts";
import { BenchError } from "../harness/bench-error.ts";
import type { Cell, Figures, Session } from "./cell.ts";
import { windowFigures, withServer } from "./cell.ts";

const replayEvents = 100_000;
/** Seconds after which a replay is cut: what arrived by then is its rate. */
const replayCapSeconds = 10;

async function fill(session: Session, contender: Contender): Promise<void> {
  if (session.server.commands !== undefined) {
    await session.server.commands.ask(`fill ${replayEvents}`);
  } else {
    const filled = await session.load([
      ...["--mode", "append", "--target", String(replayEvents), "--cap", "60"],
      ...(contender.publish?.() ?? []),
    ]);
    if ((filled.acks ?? 0) < replayEvents) throw new BenchError(`only ${filled.acks} events were accepted in 60 s`);
  }
  if (contender.restartBeforeReplay === true) await session.restart();
}

/** Replays before the one that counts, and milliseconds of rest after them, in which what they shared is let go of. */
const warmingReplays = 5;
const restMs = 3_000;

function replay(watchers: number, state: "cold" | "warm"): Cell {
  return {
    scenario: "replay",
    setting: `${watchers} resuming, ${state} server`,
    measure: (context, contender) =>
      withServer(context, contender, { retainEvents: replayEvents * 2 }, async (session) => {
        await fill(session, contender);
        const read = (readers: number) =>
          session.load([
            ...["--mode", "replay", "--watchers", String(readers), "--target", String(replayEvents)],
            ...["--cap", String(replayCapSeconds), ...contender.watch({ earliest: true })],
          ]);
        if (state === "warm") {
          for (let i = 0; i < warmingReplays; i++) await read(1);
          await sleep(restMs);
        }
        await session.server.commands?.ask("gc");
        const result = await read(watchers);
        return {
          ...windowFigures(result),
          done: result.done,
          rss_before_mb: result.rss_start_kb / 1024,
          rss_peak_mb: result.rss_peak_kb / 1024,
        };
      }),
  };
}

async function appendThroughWire(
  session: Session,
  loadArguments: readonly string[],
  seconds: number,
): Promise<Figures> {
  const result = await session.load([
    ...["--mode", "append", "--warm", "0.5", "--window", String(seconds), ...loadArguments],
  ]);
  const batchAt = loadArguments.indexOf("--publish-batch");
  const batch = batchAt === -1 ? 1 : Number(loadArguments[batchAt + 1]);
  if ((result.errors ?? 0) > 0) throw new BenchError(`${result.errors} appends were refused`);
  return {
    appended_per_second: ((result.acks ?? 0) * batch) / result.seconds,
    server_cores: result.server_cpu / result.seconds,
    load_cores: result.client_cpu / result.seconds,
    other_cores: result.other_cpu / result.seconds,
    ack_p50_ms: (result.ack_p50_us ?? 0) / 1000,
    ack_p99_ms: (result.ack_p99_us ?? 0) / 1000,
  };
}

/** Ways of appending. Contenders without one of them leave its cell out. */
const ways = ["pipelined", "batches", "one at a time"] as const;

function append(way: (typeof ways)[number]): Cell {
  return {
    scenario: "append",
    setting: way,
    excludes: (contender) => contender.appends?.[way] === undefined,
    measure: (context, contender) =>
      withServer(context, contender, { retainEvents: 200_000 }, (session) =>
        appendThroughWire(session, contender.appends?.[way] ?? [], 3 * context.pace),
      ),
  };
}

// Inside the server's own process: no wire, the same log.
function appendInProcess(setting: string, batch: number, concurrency: number): Cell {
  return {
    scenario: "append",
    setting,
    excludes: (contender) => !contender.name.startsWith("ours"),
    measure: (context, contender) =>
      withServer(context, contender, { retainEvents: 200_000 }, async (session) => {
        const seconds = 3 * context.pace;
        return (await session.server.commands?.ask<Figures>(`append ${seconds} ${batch} ${concurrency}`)) ?? {};
      }),
  };
}

export const storageCells: readonly Cell[] = [
  replay(1, "cold"),
  replay(1, "warm"),
  replay(100, "warm"),
  ...ways.map(append),
  appendInProcess("in process, batches", 200, 8),
  appendInProcess("in process, one at a time", 1, 1),
];
