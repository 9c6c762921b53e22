// The slopes of the cost model in docs/guides/scaling.md: what one more message, event, server, watcher or worker costs.
import { setTimeout as sleep } from "node:timers/promises";
import { BenchError } from "../harness/bench-error.ts";
import { cpuSeconds } from "../harness/process-cpu.ts";
import type { Cell, CellContext, Session } from "./cell.ts";
import { measureWindow, withServer } from "./cell.ts";

/** Events of a burst, beside bursts of one: the difference of both is what an event costs, the rest is the message's or the write's. */
const burst = 50;

function commandsOf(session: Session) {
  const { commands } = session.server;
  if (commands === undefined) throw new BenchError("the server takes no commands");
  return commands;
}

interface Published {
  readonly events: number;
  readonly batches: number;
}

/** Microseconds of CPU per message that each process uses, beyond what it uses when nothing happens. */
async function costOfMessages(session: Session, count: number, seconds: number): Promise<readonly number[]> {
  const commands = commandsOf(session);
  const { pids } = session.server;
  const readings = () => pids.map((pid) => cpuSeconds([pid]));
  commands.send("stop");
  await sleep(1000);
  const idleFrom = readings();
  await sleep(seconds * 500);
  const idleTo = readings();
  commands.send(`publish single 1 ${count}`);
  await sleep(1500);
  const before = await commands.ask<Published>("published");
  const from = readings();
  await sleep(seconds * 1000);
  const after = await commands.ask<Published>("published");
  const to = readings();
  commands.send("stop");
  const idle = (i: number) => ((idleTo[i] ?? 0) - (idleFrom[i] ?? 0)) * 2;
  return pids.map((_, i) => (((to[i] ?? 0) - (from[i] ?? 0) - idle(i)) * 1e6) / (after.batches - before.batches));
}

interface AppendCost {
  readonly publisher: number;
  readonly server: number;
  readonly nats: number;
}

async function costWithServers(
  bench: CellContext,
  contender: Parameters<Cell["measure"]>[1],
  servers: number,
): Promise<{ readonly one: AppendCost; readonly many: AppendCost }> {
  return withServer(bench, contender, { servers, retainEvents: 200_000 }, async (session) => {
    const named = (costs: readonly number[]): AppendCost => {
      const [publisher = Number.NaN, ...others] = costs;
      const nats = others.pop() ?? Number.NaN;
      return { publisher, nats, server: others.reduce((sum, cost) => sum + cost, 0) / others.length };
    };
    // Compiled code is what a server runs on.
    await costOfMessages(session, burst, 1);
    const many = named(await costOfMessages(session, burst, 4 * bench.pace));
    const one = named(await costOfMessages(session, 1, 4 * bench.pace));
    return { one, many };
  });
}

const appends: Cell = {
  scenario: "jetstream-slopes",
  setting: "CPU of an append, 1,000 messages/s of 1 and of 50 events",
  async measure(context, contender) {
    const few = 2;
    const several = 4;
    const two = await costWithServers(context, contender, few);
    const four = await costWithServers(context, contender, several);
    const perEvent = (part: keyof AppendCost) => (two.many[part] - two.one[part]) / (burst - 1);
    const perMessage = (part: keyof AppendCost) => two.one[part] - perEvent(part);
    const perServer = (four.one.nats - two.one.nats) / (several - few);
    return {
      nats_us_per_message: perMessage("nats") - few * perServer,
      nats_us_per_event: perEvent("nats"),
      nats_us_per_message_and_server: perServer,
      publisher_us_per_message: perMessage("publisher"),
      publisher_us_per_event: perEvent("publisher"),
      server_us_per_message: perMessage("server"),
      server_us_per_event: perEvent("server"),
    };
  },
};

// 50 writes per second and watcher, far below what a core can do, so that nothing is gathered.
const intervalMs = 20;

const deliveries: Cell = {
  scenario: "jetstream-slopes",
  setting: "CPU and bytes of a delivery, 50 writes/s to 100 and 1,000 watchers",
  async measure(context, contender) {
    const window = (watchers: number, count: number) =>
      withServer(context, contender, { retainEvents: 200_000 }, async (session) => {
        const result = await measureWindow(session, contender, {
          watchers,
          pace: { kind: "single", intervalMs, count },
          warmSeconds: 3,
          windowSeconds: 4 * context.pace,
        });
        return {
          result,
          writes: result.events / count,
          cpu: result.server_cpu / result.seconds,
          seconds: result.seconds,
        };
      });
    const slope = async (count: number) => {
      const few = await window(100, count);
      const many = await window(1000, count);
      const writes = many.writes / many.seconds - few.writes / few.seconds;
      return { us: ((many.cpu - few.cpu) * 1e6) / writes, bytes: many.result.bytes / many.result.events };
    };
    const one = await slope(1);
    const run = await slope(burst);
    const perEvent = (run.us - one.us) / (burst - 1);
    return {
      us_per_write: one.us - perEvent,
      us_per_delivered_event: perEvent,
      wire_bytes_alone: one.bytes,
      wire_bytes_in_runs: run.bytes,
    };
  },
};

interface Memory {
  readonly rss: number;
  readonly held: number;
}

const memory: Cell = {
  scenario: "jetstream-slopes",
  setting: "memory and disk of what is retained",
  measure: (context, contender) =>
    withServer(context, contender, { retainEvents: 5_000_000 }, async (session) => {
      const commands = commandsOf(session);
      const look = () => commands.ask<Memory>("memory");
      const base = await look();
      // What is kept whatever is retained comes first: the newest messages, tables, and the garbage that V8 leaves room for.
      await commands.ask("fill 1000000");
      const before = { ...(await look()), disk: await session.server.diskBytes?.() };
      const more = 1_000_000;
      await commands.ask(`fill ${more}`);
      const after = { ...(await look()), disk: await session.server.diskBytes?.() };
      const workers = 20_000;
      await commands.ask(`workers ${workers}`);
      const withWorkers = await look();
      const diskBefore = await session.server.diskBytes?.();
      const alone = 50_000;
      await commands.ask(`fill-singles ${alone}`);
      const diskAfter = await session.server.diskBytes?.();
      const perEvent = (after.held - before.held) / more;
      return {
        base_mb: base.rss / 2 ** 20,
        bytes_per_retained_event: perEvent,
        rss_per_retained_event: (after.rss - before.rss) / more,
        bytes_per_worker: (withWorkers.held - after.held) / workers - perEvent,
        disk_bytes_in_batches: ((after.disk ?? Number.NaN) - (before.disk ?? Number.NaN)) / more,
        disk_bytes_alone: ((diskAfter ?? Number.NaN) - (diskBefore ?? Number.NaN)) / alone,
      };
    }),
};

export const jetstreamSlopesCells: readonly Cell[] = [appends, deliveries, memory];
