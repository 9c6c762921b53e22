// The resumable client of this library, in one Node process.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { BenchError } from "../harness/bench-error.ts";
import { nodeArguments } from "../harness/node.ts";
import { loadCore } from "../harness/server-process.ts";
import type { Cell } from "./cell.ts";
import { withServer } from "./cell.ts";

const events = 300_000;

interface ClientResult {
  readonly seen: number;
  readonly seconds: number;
  readonly cpu: number;
}

function client(by: "event" | "batch"): Cell {
  return {
    scenario: "client",
    setting: `resumable client, by ${by}`,
    measure: (context, contender) =>
      withServer(context, contender, { retainEvents: events * 2 }, async (session) => {
        await session.server.commands?.ask(`fill ${events}`);
        const program = join(import.meta.dirname, "../clients/resumable.ts");
        const child = spawnSync(
          "taskset",
          [
            ...["-c", String(loadCore)],
            ...[process.execPath, ...nodeArguments, program, "--url", `http://127.0.0.1:${session.server.port}`],
            ...["--events", String(events), "--by", by],
          ],
          { encoding: "utf8", timeout: 60_000 },
        );
        if (child.status !== 0) throw new BenchError(`the client failed: ${child.stderr.trim().slice(-500)}`);
        const result = JSON.parse(child.stdout) as ClientResult;
        return {
          events_per_second: result.seen / result.seconds,
          client_cpu_us_per_event: (result.cpu * 1e6) / result.seen,
        };
      }),
  };
}

export const clientCells: readonly Cell[] = [client("event"), client("batch")];
