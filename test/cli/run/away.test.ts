import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { residentBytes } from "../../support/processes.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { startTcpProxy } from "../../support/tcp-proxy.ts";
import { startServe, tailrace, until } from "../support.ts";

interface JsonEvent {
  readonly workerSequence?: string;
  readonly output?: { readonly offset?: string; readonly data: string };
  readonly workerEnded?: object;
}

async function watched(url: string, worker: string): Promise<JsonEvent[]> {
  const watch = tailrace(["watch", "--server", url, "--worker", worker, "--format", "json"]);
  expect(await watch.ended).toBe(0);
  const lines = watch.stdout.toString().trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as JsonEvent);
}

function outputOf(events: readonly JsonEvent[]): Buffer {
  const chunks: Buffer[] = [];
  let offset = 0;
  for (const { output } of events) {
    if (output === undefined) continue;
    expect(Number(output.offset ?? 0)).toBe(offset);
    const data = Buffer.from(output.data, "base64");
    offset += data.length;
    chunks.push(data);
  }
  return Buffer.concat(chunks);
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

test("a server that is killed and comes back has every byte once", async () => {
  const data = join(scratchDirectory(), "log");
  const first = await startServe(["--listen", "127.0.0.1:0", "--data", data]);
  // Keeps the address while the server is away.
  const proxy = await startTcpProxy(portOf(first.url));
  const hundred = "for n in $(seq 1 100); do i=$((i+1)); echo line $i; done";
  const command = `i=0; ${hundred}; read -r _; ${hundred}; read -r _; ${hundred}`;
  const run = tailrace(["run", "--server", proxy.url, "--worker", "w", "--", "sh", "-c", command]);
  await run.until("stdout", /line 100\n/);
  first.process.child.kill("SIGKILL");
  await first.process.ended;
  run.child.stdin?.write("go\n");
  await run.until("stdout", /line 200\n/);
  await run.until("stderr", /Trying again/);
  const second = await startServe(["--listen", "127.0.0.1:0", "--data", data]);
  proxy.target(portOf(second.url));
  run.child.stdin?.write("go\n");
  expect(await run.ended).toBe(0);
  const events = await watched(second.url, "w");
  expect(events.map((event) => Number(event.workerSequence))).toEqual(events.map((_, index) => index + 1));
  const expected = Array.from({ length: 300 }, (_, index) => `line ${index + 1}\n`).join("");
  expect(outputOf(events).toString()).toBe(expected);
  expect(events.at(-1)?.workerEnded).toBeDefined();
});

test("a command that is faster than the log waits, and memory stays bounded", async () => {
  const { process: server, url } = await startServe(["--listen", "127.0.0.1:0", "--log", "memory"]);
  const total = 96 * 1024 * 1024;
  const command = `echo ready; read -r _; head -c ${total} /dev/zero; echo done >&2`;
  const run = tailrace(["run", "-q", "--server", url, "--worker", "w", "--", "sh", "-c", command]);
  await run.until("stdout", /ready/);
  const before = residentBytes(run.child.pid as number);
  // What passes through must not be what bounds it.
  let passed = 0;
  run.child.stdout?.removeAllListeners("data").on("data", (data: Buffer) => {
    passed += data.length;
  });
  server.child.kill("SIGSTOP");
  run.child.stdin?.write("go\n");
  await until(() => passed > 0);
  for (let seen = 0; seen !== passed; await delay(1_000)) seen = passed;
  const grown = residentBytes(run.child.pid as number) - before;
  expect(passed).toBeLessThan(total);
  expect(run.stderr).toBe("");
  server.child.kill("SIGCONT");
  expect(grown).toBeLessThan(64 * 1024 * 1024);
  expect(await run.ended).toBe(0);
  await until(() => run.stderr.includes("done"));
});
