// The whole of Tailrace in some seconds: commands whose output becomes events, and a watcher that is killed and comes back.
// `--exit` ends it after the summary; else the server stays up until Ctrl-C.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { ListEventsRequestSchema } from "../gen/tailrace/v1/event_stream_service_pb.ts";
import { hasReason, openEmbeddedLog, Runtime } from "../src/index.ts";
import { createServer, type Server } from "../src/server/index.ts";

const checkout = join(import.meta.dirname, "..");
const exitAfterSummary = process.argv.includes("--exit");

/** Commands that every machine has. Two of them go on until the watcher was killed often enough, however slow the machine. */
const workers = {
  counter: `i=0; while [ ! -e "$DEMO_DONE" ]; do i=$((i+1)); echo "counted to $i"; sleep 0.02; done`,
  files: `find proto gen src -type f | while read -r file; do wc -c "$file"; done`,
  grumbler: `i=0; while [ ! -e "$DEMO_DONE" ]; do i=$((i+1)); echo "step $i"; echo "careful at $i" >&2; sleep 0.05; done; exit 3`,
};
const workerIds = Object.keys(workers);

/** How often the watcher is killed, after how many more events, and how many it misses each time before it is back. */
const kills = 2;
const eventsBetweenKills = 80;
const eventsMissed = 60;

await mkdir(join(checkout, ".demo"), { recursive: true });
const directory = await mkdtemp(join(checkout, ".demo", "run-"));
/** Exists when the commands may end. */
const done = join(directory, "done");

const started: ChildProcess[] = [];
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
stop.signal.addEventListener("abort", stopChildren);

function stopChildren(): void {
  for (const child of started) if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function startNode(script: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [join(checkout, script), ...args], {
    cwd: checkout,
    env: { ...process.env, DEMO_DONE: done },
    stdio: ["ignore", "ignore", "pipe"],
  });
  // What the commands say on stderr is in their streams; what Tailrace says is for whoever looks at the demo.
  createInterface(child.stderr).on("line", (line) => {
    if (line.startsWith("tailrace: ")) process.stderr.write(`${line}\n`);
  });
  started.push(child);
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

function runWorker(url: string, id: string, script: string): ChildProcess {
  return startNode("src/cli/main.ts", ["run", "--quiet", "--server", url, "--worker", id, "--", "sh", "-c", script]);
}

/** The usual port, or another one if something listens there already. */
async function listen(runtime: Runtime): Promise<Server> {
  try {
    return await createServer({ runtime });
  } catch (error) {
    if (!hasReason(error, "invalid_request")) throw error;
    return createServer({ runtime, listen: "127.0.0.1:0" });
  }
}

/** Sequences that the log holds of the workers: what was written. */
async function written(runtime: Runtime): Promise<string[]> {
  const sequences: string[] = [];
  let cursor = "";
  for (;;) {
    const start = cursor === "" ? {} : { start: { case: "cursor", value: cursor } as const };
    const page = await runtime.listEvents(create(ListEventsRequestSchema, { workerIds, ...start }));
    for (const event of page.events) sequences.push(String(event.sequence));
    if (page.complete) return sequences;
    cursor = page.cursor;
  }
}

/** Sequences that the watcher has seen, each as often as it saw it. */
async function seen(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
  return lines.filter((line) => line !== "").map((line) => (JSON.parse(line) as { sequence: string }).sequence);
}

/** Events of the workers so far, without reading them. */
function committed(runtime: Runtime): number {
  return workerIds.reduce((sum, id) => sum + (runtime.log.worker(id)?.lastOrdinal ?? 0), 0);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!stop.signal.aborted && !(await condition())) await delay(20);
}

async function demonstrate(runtime: Runtime, url: string, path: string): Promise<boolean> {
  say(`Watching ${workerIds.length} workers that run real commands: ${workerIds.join(", ")}`);
  const startWatcher = () => startNode("examples/demo-watcher.ts", [url, path, ...workerIds]);
  let watcher = startWatcher();
  const commands = Object.entries(workers).map(([id, script]) => runWorker(url, id, script));
  for (let kill = 1; kill <= kills; kill++) {
    const before = (await seen(path)).length;
    await until(async () => (await seen(path)).length >= before + eventsBetweenKills);
    watcher.kill("SIGKILL");
    await ended(watcher);
    const left = committed(runtime);
    say(`  watcher killed (SIGKILL) after ${(await seen(path)).length} events`);
    await until(() => committed(runtime) >= left + eventsMissed);
    say(`  watcher back; ${committed(runtime) - left} events were written while it was away`);
    watcher = startWatcher();
  }
  await writeFile(done, "");
  await Promise.all(commands.map(ended));
  // It ends by itself: all that it watches has ended.
  await ended(watcher);
  return !stop.signal.aborted && summarise(await written(runtime), await seen(path));
}

function summarise(all: readonly string[], watched: readonly string[]): boolean {
  const once = new Set(watched);
  const twice = watched.length - once.size;
  const lost = all.filter((sequence) => !once.has(sequence)).length;
  say("");
  say(`  events written     ${all.length}`);
  say(`  events seen        ${once.size}`);
  say(`  events seen twice  ${twice}`);
  say(`  events lost        ${lost}`);
  say("");
  return twice === 0 && lost === 0 && all.length > 0;
}

async function stayUp(runtime: Runtime, url: string): Promise<void> {
  runWorker(url, "clock", "while :; do date; sleep 1; done");
  await until(() => runtime.log.worker("clock") !== undefined);
  const request = '{"workerIds": ["counter"], "last": 5}';
  say(`The server stays up at ${url} until Ctrl-C. Try from another terminal, in this directory:`);
  say("");
  say(`  curl -N '${url}/v1/workers/clock/events?last=5'`);
  say(`  npx buf curl --schema proto -d '${request}' ${url}/tailrace.v1.EventStreamService/WatchEvents`);
  say(`  npx tailrace watch --server ${url} --last 20`);
  say("");
  if (!stop.signal.aborted) await once(stop.signal, "abort");
}

let good = false;
try {
  const runtime = new Runtime({ log: await openEmbeddedLog({ directory: join(directory, "log") }) });
  const server = await listen(runtime);
  say(`tailrace ready ${server.url}`);
  try {
    good = await demonstrate(runtime, server.url, join(directory, "seen.jsonl"));
    if (good && !exitAfterSummary) await stayUp(runtime, server.url);
  } finally {
    stopChildren();
    await Promise.all(started.map(ended));
    await server.close();
    await runtime.close();
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
process.exit(good ? 0 : 1);
