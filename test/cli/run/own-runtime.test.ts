import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scratchDirectory } from "../../support/scratch.ts";
import { type Started, startServe, tailrace } from "../support.ts";

const ready = /^tailrace ready (http:\/\/\S+)\n/m;

/** The bytes that JSON lines of `tailrace watch` hold of one stream. */
function streamOf(lines: string, stream: string): Buffer {
  const chunks = lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { output?: { stream: string; data: string } })
    .filter(({ output }) => output?.stream === stream)
    .map(({ output }) => Buffer.from(output?.data ?? "", "base64"));
  return Buffer.concat(chunks);
}

/** Lets the command go on that waits for a line, when the watcher has connected: it starts as slowly as the machine is busy. */
async function goOnWhenWatched(run: Started, watch: Started): Promise<void> {
  await watch.until("stderr", /watching/);
  run.child.stdin?.write("go\n");
}

test("without a server it serves its own runtime, and its log stays behind", async () => {
  const data = join(scratchDirectory(), "log");
  const own = ["--listen", "127.0.0.1:0", "--data", data];
  const run = tailrace(["run", ...own, "--worker", "w", "--", "sh", "-c", "echo one; read -r go; echo two"]);
  const [, url] = await run.until("stderr", ready);
  const watch = tailrace([
    "watch",
    "--server",
    url as string,
    "--worker",
    "w",
    "--if-missing",
    "wait",
    "--format",
    "json",
  ]);
  await goOnWhenWatched(run, watch);
  expect(await run.ended).toBe(0);
  expect(run.stdout.toString()).toBe("one\ntwo\n");
  expect(await watch.ended).toBe(0);
  expect(streamOf(watch.stdout.toString(), "OUTPUT_STREAM_STDOUT").toString()).toBe("one\ntwo\n");

  const later = await startServe(own);
  const again = tailrace(["watch", "--server", later.url, "--worker", "w", "--format", "json"]);
  expect(await again.ended).toBe(0);
  expect(again.stdout.toString()).toBe(watch.stdout.toString());
});

test("a watcher has everything, and one that never reads does not hold it up for ever", async () => {
  const memory = ["--log", "memory", "--listen", "127.0.0.1:0"];
  const command = "read -r go; head -c 2000000 /dev/zero";
  const run = tailrace(["run", ...memory, "--worker", "w", "--", "sh", "-c", command]);
  run.child.stdout?.resume();
  const [, url] = await run.until("stderr", ready);
  const stalled = await fetch(`${url}/v1/events`);
  const watch = tailrace([
    "watch",
    "--server",
    url as string,
    "--worker",
    "w",
    "--if-missing",
    "wait",
    "--format",
    "json",
  ]);
  await goOnWhenWatched(run, watch);
  expect(await run.ended).toBe(0);
  await stalled.body?.cancel().catch(() => undefined);
  expect(await watch.ended).toBe(0);
  expect(streamOf(watch.stdout.toString(), "OUTPUT_STREAM_STDOUT").equals(Buffer.alloc(2_000_000))).toBe(true);
});

test("a port that is taken is said with what to do", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as { port: number };
  const run = tailrace(["run", "--log", "memory", "--listen", `127.0.0.1:${port}`, "--", "echo", "never"]);
  expect(await run.ended).toBe(2);
  expect(run.stderr).toMatch(/^tailrace: .*127\.0\.0\.1:\d+ is in use.*\n$/);
  expect(run.stdout.toString()).toBe("");
  taken.close();
  await once(taken, "close");
});
