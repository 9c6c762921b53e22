// Acknowledged appends to the log in JetStream, and to JetStream itself.
import { appendWays } from "../contenders/jetstream.ts";
import { BenchError } from "../harness/bench-error.ts";
import type { Cell, Figures } from "./cell.ts";
import { withServer } from "./cell.ts";

const seconds = 3;
const retainEvents = 200_000;

// The load client publishes, and everything else is on the servers' core: ours and NATS, or NATS alone.
function throughWire(way: (typeof appendWays)[number]): Cell {
  return {
    scenario: "jetstream-append",
    setting: `through the wire, ${way}`,
    excludes: (contender) => contender.appends?.[way] === undefined,
    measure: (context, contender) =>
      withServer(context, contender, { retainEvents }, async (session) => {
        const publishing = contender.appends?.[way] ?? [];
        const result = await session.load([
          ...["--mode", "append", "--warm", "1", "--window", String(seconds * context.pace), ...publishing],
        ]);
        if ((result.errors ?? 0) > 0) throw new BenchError(`${result.errors} appends were refused`);
        const batchAt = publishing.indexOf("--publish-batch");
        const events = (result.acks ?? 0) * (batchAt === -1 ? 1 : Number(publishing[batchAt + 1]));
        return {
          appended_per_second: events / result.seconds,
          ack_p50_ms: (result.ack_p50_us ?? 0) / 1000,
          ack_p99_ms: (result.ack_p99_us ?? 0) / 1000,
          server_cpu_us_per_event: (result.server_cpu * 1e6) / events,
          server_cores: result.server_cpu / result.seconds,
          load_cores: result.client_cpu / result.seconds,
          other_cores: result.other_cpu / result.seconds,
        };
      }),
  };
}

// A Node process publishes, on the load client's core, and only NATS is on the servers' core: an application that embeds
// the runtime, beside one that uses the client of NATS.
function inside(setting: string, batch: number, concurrency: number, isBatch: boolean): Cell {
  return {
    scenario: "jetstream-append",
    setting: `in a process, ${setting}`,
    excludes: ({ appendsInside, name }) => appendsInside !== true || (name.endsWith("-atomic") && !isBatch),
    measure: (context, contender) =>
      withServer(context, contender, { retainEvents, publishesInside: true }, async ({ server }) => {
        const nats = server.pids.at(-1);
        const command = `append ${seconds * context.pace} ${batch} ${concurrency} ${nats}`;
        const figures = await server.commands?.ask<Figures>(command);
        if (figures === undefined) throw new BenchError("nobody publishes");
        return figures;
      }),
  };
}

export const jetstreamAppendCells: readonly Cell[] = [
  ...appendWays.map(throughWire),
  inside("one at a time", 1, 1, false),
  inside("200 at once", 1, 200, false),
  inside("batches of 100, 8 at once", 100, 8, true),
];
