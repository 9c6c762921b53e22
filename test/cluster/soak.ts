// npm run soak [-- --minutes 60 --every 60 --seed N --load 1 --pace 1 --kinds TEXT --out FILE --snapshots 20,50]
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { freshSeed } from "../support/random.ts";
import { faultKinds } from "./soak/faults.ts";
import type { Course } from "./soak/memory.ts";
import { type SoakResult, soak } from "./soak/run.ts";

const usage = `npm run soak -- [options]
  --minutes N   how long faults are begun (default 60)
  --every N     seconds between the beginnings of two faults (default 60)
  --seed N      chooses the faults (default: a new one, which is printed)
  --load F      factor on how much is published, submitted and visited (default 1)
  --pace F      factor on the times that faults last (default 1)
  --kinds TEXT  only faults whose names contain this text
  --out FILE    where the result goes as JSON (default: soak-result.json in the directory for temporary files)
  --snapshots L minutes after which every server writes a heap snapshot beside the result (default: none)
`;

/** Minutes after the last fault in which the watchers must have everything. What takes longer hangs. */
const endMinutes = 20;

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: "string", default: "60" },
        every: { type: "string", default: "60" },
        seed: { type: "string", default: String(freshSeed()) },
        load: { type: "string", default: "1" },
        pace: { type: "string", default: "1" },
        kinds: { type: "string", default: "" },
        out: { type: "string", default: join(tmpdir(), "soak-result.json") },
        snapshots: { type: "string", default: "" },
      },
    });
    const { minutes, every, seed, load, pace } = values;
    const snapshots = values.snapshots.split(",").filter((text) => text !== "");
    for (const text of [minutes, every, seed, load, pace, ...snapshots]) {
      if (text === "" || !(Number(text) >= 0)) throw new Error(`"${text}" is no number`);
    }
    if (Number(load) === 0) throw new Error("a load of 0 is none");
    const kinds = faultKinds.filter(({ name }) => name.includes(values.kinds));
    if (kinds.length === 0) throw new Error(`no fault is named ${values.kinds}`);
    return {
      minutes: Number(minutes),
      every: Number(every),
      seed: Number(seed),
      load: Number(load),
      pace: Number(pace),
      kinds,
      out: values.out,
      snapshots: snapshots.map(Number),
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}`);
    process.exit(2);
  }
}

function print(result: SoakResult): void {
  const { seed, minutes, acknowledgedEvents, jobs, visits, gaps, memory, endedByItself, problems } = result;
  console.log(`seed ${seed}, ${minutes} minutes, ${acknowledgedEvents} events acknowledged`);
  console.log(`watchers: ${result.watchers.map((one) => `${one.name} ${one.events} (${one.connections})`).join(", ")}`);
  console.log(`refused tries: ${JSON.stringify(result.refusals)}`);
  console.log(`jobs: ${jobs.submitted} submitted, ended as ${JSON.stringify(jobs.ends)}`);
  console.log(`visits: ${JSON.stringify(visits)}`);
  console.log("milliseconds without service (median, longest of a client, longest of all clients together):");
  for (const [kind, { count, publishing, watching }] of Object.entries(gaps)) {
    const text = (of: typeof publishing): string => `${of.median}, ${of.max}, ${of.maxOfAll}`;
    console.log(`  ${kind} x${count}: publishing ${text(publishing)}; watching ${text(watching)}`);
  }
  console.log("memory in MiB (median of the second quarter, of the last one, per minute between them):");
  for (const { name, minutes: lived, resident, held } of memory) {
    const text = ({ early, late, slope }: Course): string => `${early} to ${late}, ${slope}`;
    const holds =
      held === undefined
        ? ""
        : `holds ${text(held.heap)} in the heap, ${text(held.external)} outside; V8 took ${text(held.taken)}; `;
    console.log(`  ${name}, ${lived} min: ${holds}has ${text(resident)}, most ${resident.most}`);
  }
  for (const said of endedByItself) console.log(`ended by itself: ${said}`);
  for (const problem of problems) console.log(`PROBLEM: ${problem}`);
  console.log(problems.length === 0 ? "everything that was promised was kept" : `${problems.length} problems`);
}

const { minutes, every, seed, load, pace, kinds, out, snapshots } = readOptions();
const directory = mkdtempSync(join(tmpdir(), "tailrace-soak-"));
const remove = (): void => rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
// Every process ends with this one.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    remove();
    process.exit(130);
  });
}
const hang = setTimeout(
  () => {
    console.error(`seed ${seed}: no end ${endMinutes} minutes after the last fault`);
    remove();
    process.exit(1);
  },
  (minutes + endMinutes) * 60_000,
);

console.log(`seed ${seed}`);
try {
  const result = await soak({
    directory,
    seed,
    totalMs: minutes * 60_000,
    everyMs: every * 1_000,
    load,
    pace,
    kinds,
    snapshots: { minutes: snapshots, file: (server, life) => `${out}.${server}.${life}` },
    onStep: console.log,
  });
  writeFileSync(out, `${JSON.stringify(result, undefined, 2)}\n`);
  print(result);
  console.log(`the result is in ${out}`);
  process.exitCode = result.problems.length === 0 ? 0 : 1;
} catch (error) {
  console.error(`seed ${seed}:`, error);
  process.exitCode = 1;
} finally {
  clearTimeout(hang);
  remove();
  // Left to end by itself, Node may wait for ever, busily, for handles of connections whose servers were killed.
  process.exit();
}
