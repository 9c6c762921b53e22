import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { OutputStream } from "../../gen/tailrace/v1/payloads_pb.ts";
import type { Runtime } from "../../src/index.ts";
import { cpuSeconds } from "../harness/process-cpu.ts";
import { payloadBytes, stampNow } from "./payload.ts";

export type Publish = (events: Parameters<Runtime["publish"]>[0]) => Promise<unknown>;

export interface AppendPlan {
  readonly seconds: number;
  /** Events of one batch. */
  readonly batch: number;
  /** Batches under way at once. */
  readonly concurrency: number;
  /** Processes that do a part of the work besides this one. */
  readonly others?: readonly number[];
}

/** Milliseconds that are not counted. The code of either side is compiled in them, on the core on which it runs. */
const warmMs = 3_000;

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.floor(q * (sorted.length - 1))] ?? Number.NaN;
}

/** Publishes batches for a while and counts what was acknowledged. */
export async function measureAppend(publish: Publish, plan: AppendPlan): Promise<Record<string, number>> {
  const latencies: number[] = [];
  let acknowledged = 0;
  // Nobody reads them, and making them is not the log's work.
  const data = payloadBytes(1, stampNow());
  // By the clock alone: with a log that commits within a microtask, no timer runs while producers are at work.
  const from = performance.now() + warmMs;
  const until = from + plan.seconds * 1000;
  const pids = [process.pid, ...(plan.others ?? [])];
  let before: number | undefined;

  async function producer(): Promise<void> {
    for (let sent = performance.now(); sent < until; sent = performance.now()) {
      if (sent >= from) before ??= cpuSeconds(pids);
      const events = Array.from({ length: plan.batch }, () => ({
        workerId: "bench-0",
        payload: {
          case: "output" as const,
          value: { stream: OutputStream.STDOUT, data },
        },
      }));
      await publish(events);
      if (sent < from) continue;
      acknowledged += plan.batch;
      latencies.push(performance.now() - sent);
    }
  }

  await Promise.all(Array.from({ length: plan.concurrency }, producer));
  const seconds = (performance.now() - from) / 1000;
  const used = cpuSeconds(pids) - (before ?? 0);
  latencies.sort((a, b) => a - b);
  return {
    appended_per_second: acknowledged / seconds,
    ack_p50_ms: quantile(latencies, 0.5),
    ack_p99_ms: quantile(latencies, 0.99),
    server_cores: used / seconds,
    server_cpu_us_per_event: (used * 1e6) / acknowledged,
  };
}

/** What the disk itself takes for one event: a write of its bytes and fdatasync, milliseconds, median of 200. */
export async function measureCommit(directory: string): Promise<number> {
  const probe = mkdtempSync(join(directory, "probe-"));
  const file = await open(join(probe, "file"), "w");
  const bytes = Buffer.alloc(300, "x");
  const latencies: number[] = [];
  for (let attempt = 0; attempt < 200; attempt++) {
    const started = performance.now();
    await file.write(bytes);
    await file.datasync();
    latencies.push(performance.now() - started);
  }
  await file.close();
  rmSync(probe, { recursive: true });
  latencies.sort((a, b) => a - b);
  return quantile(latencies, 0.5);
}
