import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { BenchError } from "./bench-error.ts";
import { track } from "./children.ts";
import { loadCore } from "./server-process.ts";

/** What the load client says about its counting window (bench/load/main.c). Seconds, unless the name says otherwise. */
export interface LoadResult {
  readonly seconds: number;
  readonly events: number;
  /** Taken from the sockets of watchers, whatever the protocol puts around events. */
  readonly bytes: number;
  readonly server_cpu: number;
  readonly client_cpu: number;
  /** CPU time of everyone else on the machine in the window: the noise. */
  readonly other_cpu: number;
  readonly missing: number;
  readonly repeated: number;
  readonly ended: number;
  readonly done: number;
  readonly p50_us: number;
  readonly p99_us: number;
  readonly max_us: number;
  readonly rss_start_kb: number;
  readonly rss_end_kb: number;
  readonly rss_peak_kb: number;
  readonly acks?: number;
  readonly errors?: number;
  readonly ack_p50_us?: number;
  readonly ack_p99_us?: number;
}

export interface Admission {
  readonly admitted: number;
  readonly of: number;
  readonly ms: number;
}

/** What happens between two stages of the load client. */
export interface LoadStages {
  /** All watchers are admitted. In steps, the next one begins when this settles. */
  admitted?(admission: Admission): Promise<void> | void;
}

/** Runs the load client on its core and returns its result. It ends on its own; `limitMs` is for when it does not. */
export async function runLoad(
  program: string,
  loadArguments: readonly string[],
  stages: LoadStages,
  limitMs: number,
): Promise<LoadResult> {
  const child = spawn("taskset", ["-c", String(loadCore), program, ...loadArguments]);
  track(child);
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  let result: LoadResult | undefined;
  let failure: unknown;
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-2000);
  });
  child.stdin.on("error", () => undefined);
  createInterface({ input: child.stdout }).on("line", (line) => {
    const message = JSON.parse(line) as LoadResult | Admission;
    if (!("admitted" in message)) {
      result = message;
      return;
    }
    Promise.resolve(stages.admitted?.(message)).then(
      () => child.stdin.write("next\n"),
      (error: unknown) => {
        failure = error;
        child.kill("SIGKILL");
      },
    );
  });
  await once(child, "close");
  clearTimeout(timer);
  if (failure !== undefined) throw failure;
  if (result === undefined)
    throw new BenchError(`the load client gave no result: ${errors.trim() || "killed after its time"}`);
  if (result.ended > 0) throw new BenchError(`${result.ended} watchers were ended: ${errors.trim()}`);
  return result;
}
