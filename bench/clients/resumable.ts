// The resumable client in a process of its own: reads a number of events from the earliest on, and says how long it took.
import { performance } from "node:perf_hooks";
import { watch } from "../../src/client/index.ts";
import { requiredArgument } from "../harness/arguments.ts";

const url = requiredArgument("--url");
const wanted = Number(requiredArgument("--events"));
const byBatch = requiredArgument("--by") === "batch";

const watched = watch({ baseUrl: url, startAt: "earliest" });
const started = performance.now();
const before = process.cpuUsage();
let seen = 0;
let bytes = 0;
if (byBatch) {
  for await (const { events } of watched.batches()) {
    seen += events.length;
    for (const { payload } of events) if (payload.case === "output") bytes += payload.value.data.length;
    if (seen >= wanted) break;
  }
} else {
  for await (const { payload } of watched) {
    seen++;
    if (payload.case === "output") bytes += payload.value.data.length;
    if (seen >= wanted) break;
  }
}
const seconds = (performance.now() - started) / 1000;
const cpu = process.cpuUsage(before);
console.log(JSON.stringify({ seen, bytes, seconds, cpu: (cpu.user + cpu.system) / 1e6 }));
process.exit(0);
