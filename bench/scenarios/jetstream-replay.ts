// Replay from the log in JetStream by one reader, and from JetStream itself by an ordered consumer.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Contender } from "../contenders/contract.ts";
import { BenchError } from "../harness/bench-error.ts";
import { nodeArguments } from "../harness/node.ts";
import { cpuSeconds } from "../harness/process-cpu.ts";
import { loadCore } from "../harness/server-process.ts";
import type { Cell, Figures, Session } from "./cell.ts";
import { windowFigures, withServer } from "./cell.ts";

const events = 300_000;
/** Replays before the one that counts, and milliseconds of rest after them, in which what they shared is let go of. */
const warmingReplays = 5;
const restMs = 3_000;

async function fill(session: Session, contender: Contender): Promise<void> {
  const { commands } = session.server;
  if (commands !== undefined) {
    await commands.ask(contender.name.endsWith("-singles") ? `fill-singles ${events}` : `fill ${events}`);
    return;
  }
  const filled = await session.load([
    ...["--mode", "append", "--target", String(events), "--cap", "60"],
    ...(contender.publish?.() ?? []),
  ]);
  if ((filled.acks ?? 0) < events) throw new BenchError(`only ${filled.acks} events were accepted in 60 s`);
}

async function readInC(session: Session, contender: Contender): Promise<Figures> {
  return windowFigures(
    await session.load([
      ...["--mode", "replay", "--watchers", "1", "--target", String(events), "--cap", "20"],
      ...contender.watch({ earliest: true }),
    ]),
  );
}

interface ReaderResult {
  readonly seen: number;
  readonly seconds: number;
  readonly cpu: number;
}

// The client of each for Node, in a process of its own on the load client's core.
async function readInNode(session: Session, contender: Contender): Promise<Figures> {
  const { port, pids } = session.server;
  const isOurs = contender.name.startsWith("ours");
  const program = isOurs
    ? ["resumable.ts", "--url", `http://127.0.0.1:${port}`, "--by", "batch"]
    : ["ordered-consumer.ts", "--url", `nats://127.0.0.1:${port}`];
  const [file, ...options] = program as [string, ...string[]];
  const before = cpuSeconds(pids);
  const child = spawnSync(
    "taskset",
    [
      ...["-c", String(loadCore), process.execPath, ...nodeArguments],
      join(import.meta.dirname, "../clients", file),
      ...[...options, "--events", String(events)],
    ],
    { encoding: "utf8", timeout: 60_000 },
  );
  if (child.status !== 0) throw new BenchError(`the reader failed: ${child.stderr.trim().slice(-500)}`);
  const used = cpuSeconds(pids) - before;
  const { seen, seconds, cpu } = JSON.parse(child.stdout) as ReaderResult;
  return {
    events_per_second: seen / seconds,
    server_cpu_us_per_event: (used * 1e6) / seen,
    client_cpu_us_per_event: (cpu * 1e6) / seen,
    server_cores: used / seconds,
    load_cores: cpu / seconds,
  };
}

function replay(reader: "load client" | "Node", state: "cold" | "warm"): Cell {
  const read = reader === "Node" ? readInNode : readInC;
  return {
    scenario: "jetstream-replay",
    setting: `read by ${reader === "Node" ? "a client in Node" : "the load client"}, ${state} servers`,
    excludes: ({ name }) => !name.startsWith("ours") && (name === "jetstream-node") !== (reader === "Node"),
    measure: (context, contender) =>
      withServer(context, contender, { retainEvents: events * 2 }, async (session) => {
        await fill(session, contender);
        // Everything is started again, so that nobody has the events in its memory.
        await session.restart();
        if (state === "warm") {
          for (let i = 0; i < warmingReplays; i++) await read(session, contender);
          await sleep(restMs);
        }
        await session.server.commands?.ask("gc");
        return read(session, contender);
      }),
  };
}

export const jetstreamReplayCells: readonly Cell[] = [
  replay("load client", "cold"),
  replay("load client", "warm"),
  replay("Node", "cold"),
  replay("Node", "warm"),
];
