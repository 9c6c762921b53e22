// node --expose-gc bench/job-memory.ts [--jobs 100000] [--step 10000] [--memory-ms 2000] [--log memory|embedded]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MemoryLog, openEmbeddedLog, Runtime } from "../src/index.ts";

// What short jobs leave behind: memory after a full collection, every `step` jobs. Events are kept by number, so that the
// log has its full size early, and what grows after that is what jobs leave.
const { values } = parseArgs({
  options: {
    jobs: { type: "string", default: "100000" },
    step: { type: "string", default: "10000" },
    "memory-ms": { type: "string", default: "2000" },
    log: { type: "string", default: "memory" },
  },
});
const total = Number(values.jobs);
const step = Number(values.step);
const memoryMs = Number(values["memory-ms"]);
const collect = globalThis.gc;
if (collect === undefined) throw new Error("run it with --expose-gc");

const retention = { events: 20_000, workerEvents: 20_000 };
const directory = mkdtempSync(join(tmpdir(), "tailrace-bench-"));
const log =
  values.log === "embedded"
    ? await openEmbeddedLog({ directory, durability: "process", retention })
    : new MemoryLog({ retention });
const runtime = new Runtime({ log, jobs: { memoryMs } });
runtime.operation("short", { concurrency: 64, queueDepth: 1_000 }, async (_, job) => {
  await job.narrate("work", "A short job says one thing.");
});

const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1).padStart(8);
console.log("    jobs  remembered   heap MiB  buffers MiB   rss MiB   jobs/s");
async function measure(jobs: number, seconds: number): Promise<void> {
  // Ended on time is forgotten on time: what is due goes before the figures are taken.
  await new Promise((resolve) => setTimeout(resolve, Math.min(memoryMs, 3_000) + 1_500));
  for (let i = 0; i < 3; i++) {
    collect?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  const rate = seconds === 0 ? "" : Math.round(step / seconds).toString();
  const remembered = runtime.jobsHeld.jobs.toString().padStart(11);
  console.log(
    `${jobs.toString().padStart(8)} ${remembered}   ${mebibytes(heapUsed)}     ${mebibytes(arrayBuffers)}  ${mebibytes(rss)} ${rate.padStart(8)}`,
  );
}

await measure(0, 0);
for (let done = 0; done < total; done += step) {
  const begin = performance.now();
  for (let i = 0; i < step; i += 200) {
    await Promise.all(Array.from({ length: 200 }, (_, n) => runtime.submit("short", { n, text: "parameters" })));
    while (runtime.jobsHeld.running > 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await measure(done + step, (performance.now() - begin) / 1_000);
}
await runtime.close();
rmSync(directory, { recursive: true, force: true });
