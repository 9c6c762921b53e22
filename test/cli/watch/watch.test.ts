import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { WorkerOutcome } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { serve } from "../../support/serving.ts";
import { startTcpProxy } from "../../support/tcp-proxy.ts";
import { shell, startServe, tailrace, until } from "../support.ts";

async function publishNumbers(runtime: Runtime, from: number, to: number): Promise<void> {
  for (let number = from; number <= to; number++) await runtime.worker("w").narrate("count", String(number));
}

function messages(lines: string): string[] {
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { narration?: { message: string } })
    .flatMap(({ narration }) => (narration === undefined ? [] : [narration.message]));
}

function numbers(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
}

test("events of a worker are shown until its end, as text and as JSON", async () => {
  const { runtime, server } = await serve();
  const worker = runtime.worker("build");
  await worker.stdout("compil");
  await worker.stdout("ing\r\nlinking\n\u001b[2Jhidden");
  await worker.stderr("warning: deprecated\n");
  await worker.narrate("deploy", "rolling out");
  await worker.end({ outcome: WorkerOutcome.FAILED, exitCode: 3 });
  const pretty = tailrace(["watch", "--server", server.url, "--worker", "build"]);
  expect(await pretty.ended).toBe(0);
  const shown = pretty.stdout.toString();
  expect(shown.replaceAll(/^\d\d:\d\d:\d\d\.\d{3}/gm, "TIME").split("\n")).toEqual([
    "TIME  build   worker_created",
    "TIME  build   stdout     compiling",
    "TIME  build   stdout     linking",
    "TIME  build   stderr     warning: deprecated",
    "TIME  build   stdout     \\x1b[2Jhidden",
    "TIME  build   narration  deploy: rolling out",
    "TIME  build   worker_ended  failed, exit code 3",
    "",
  ]);
  expect(pretty.stderr).toBe(`tailrace: watching ${server.url}\ntailrace: ended: failed, exit code 3\n`);

  const json = tailrace(["watch", "-q", "--server", server.url, "--worker", "build", "--format", "json"]);
  expect(await json.ended).toBe(0);
  const events = json.stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(events.map((event) => event["workerSequence"])).toEqual(numbers(1, 6));
  expect(events.at(-1)).toMatchObject({
    workerId: "build",
    workerEnded: { outcome: "WORKER_OUTCOME_FAILED", exitCode: 3 },
  });
  expect(json.stderr).toBe("");
});

test("start, kinds and workers select", async () => {
  const { runtime, server } = await serve();
  await publishNumbers(runtime, 1, 5);
  await runtime.worker("w").stdout("text\n");
  await runtime.worker("other").narrate("count", "99");
  await runtime.worker("w").end({ outcome: WorkerOutcome.SUCCEEDED });
  const watch = async (...args: string[]) => {
    const started = tailrace(["watch", "--server", server.url, "--worker", "w", "--format", "json", ...args]);
    expect(await started.ended).toBe(0);
    return started.stdout.toString();
  };
  expect(messages(await watch("--kinds", "narration"))).toEqual(numbers(1, 5));
  expect(messages(await watch("--last", "4"))).toEqual(["4", "5"]);
  expect(messages(await watch("--since", "5m"))).toEqual(numbers(1, 5));
  const [, second] = (await watch("--kinds", "narration")).split("\n");
  const { cursor } = JSON.parse(second as string) as { cursor: string };
  expect(messages(await watch("--cursor", cursor))).toEqual(numbers(3, 5));
});

test("`| head` ends it quietly, also when nothing more happens", async () => {
  const { runtime, server } = await serve();
  await publishNumbers(runtime, 1, 10);
  const run = shell(`tailrace watch -q --server ${server.url} --format json | head -n 3; echo "\${PIPESTATUS[0]}"`);
  expect(await run.ended).toBe(0);
  expect(run.stdout.toString().trimEnd().split("\n")).toHaveLength(4);
  expect(run.stdout.toString()).toMatch(/\n0\n$/);
  expect(run.stderr).toBe("");
});

test("Ctrl-C ends it with 130, and the checkpoint goes on where it was", async () => {
  const { runtime, server } = await serve();
  const checkpoint = join(scratchDirectory(), "cursor");
  const args = ["watch", "-q", "--server", server.url, "--checkpoint", checkpoint, "--format", "json"];
  await publishNumbers(runtime, 1, 3);
  const first = tailrace(args);
  await first.until("stdout", /"message":"3"/);
  first.child.kill("SIGINT");
  expect(await first.ended).toBe(130);
  // Published while nobody watches.
  await publishNumbers(runtime, 4, 6);
  const second = tailrace(args);
  await second.until("stdout", /"message":"6"/);
  second.child.kill("SIGTERM");
  expect(await second.ended).toBe(143);
  expect(messages(first.stdout.toString())).toEqual(numbers(1, 3));
  expect(messages(second.stdout.toString())).toEqual(numbers(4, 6));
});

test("a watch goes on over a server that is killed and restarted; its checkpoint too", async () => {
  const directory = scratchDirectory();
  const data = join(directory, "log");
  const checkpoint = join(directory, "cursor");
  const publish = async (url: string, from: number, to: number) => {
    const input = numbers(from, to).map((message) => `{"narration": {"action": "count", "message": "${message}"}}\n`);
    const started = tailrace(["publish", "-q", "--server", url, "--worker", "w"], { input: input.join("") });
    expect(await started.ended).toBe(0);
  };
  const first = await startServe(["--listen", "127.0.0.1:0", "--data", data]);
  // Keeps the address while the server is away.
  const proxy = await startTcpProxy(Number(new URL(first.url).port));
  const args = ["watch", "--server", proxy.url, "--checkpoint", checkpoint, "--format", "json", "--kinds", "narration"];
  await publish(first.url, 1, 20);
  const watch = tailrace(args);
  await watch.until("stdout", /"message":"20"/);
  await until(() => readIfThere(checkpoint) !== "");
  first.process.child.kill("SIGKILL");
  await first.process.ended;
  await watch.until("stderr", /Trying again/);
  const second = await startServe(["--listen", "127.0.0.1:0", "--data", data]);
  proxy.target(Number(new URL(second.url).port));
  await publish(second.url, 21, 40);
  await watch.until("stdout", /"message":"40"/);
  // Two pipes of one process: their lines come in any order.
  await watch.until("stderr", /connected again/);
  watch.child.kill("SIGINT");
  expect(await watch.ended).toBe(130);
  expect(messages(watch.stdout.toString())).toEqual(numbers(1, 40));

  await publish(second.url, 41, 60);
  const resumed = tailrace(args);
  await resumed.until("stdout", /"message":"60"/);
  expect(messages(resumed.stdout.toString())).toEqual(numbers(41, 60));
});

test("a cursor that is gone is exit code 3, or a gap that is said", async () => {
  const { runtime, server } = await serve({ retention: { workerEvents: 5 } });
  const { cursor } = await runtime.worker("w").narrate("count", "1");
  await publishNumbers(runtime, 2, 30);
  await runtime.worker("w").end({ outcome: WorkerOutcome.SUCCEEDED });
  const args = ["watch", "--server", server.url, "--worker", "w", "--cursor", cursor, "--format", "json"];
  const failing = tailrace(args);
  expect(await failing.ended).toBe(3);
  expect(failing.stderr).toMatch(/^tailrace: [^\n]+\n$/);
  expect(failing.stdout.length).toBe(0);
  const going = tailrace([...args, "--on-expired", "continue_with_gap"]);
  expect(await going.ended).toBe(0);
  expect(going.stderr).toMatch(/gap: \d+ events are no longer retained/);
  expect(messages(going.stdout.toString()).at(-1)).toBe("30");
});

test("errors have their exit codes and one line", async () => {
  const { runtime, server } = await serve();
  await runtime.worker("w").narrate("count", "1");
  const cases: [args: string[], code: number, says: RegExp][] = [
    [["--server", "http://127.0.0.1:9"], 4, /can't be reached/],
    [["--server", server.url, "--worker", "nobody"], 1, /nobody/],
    [["--server", server.url, "--cursor", "rubbish"], 2, /not a cursor/],
    [["--server", server.url, "--last", "3", "--since", "5m"], 2, /Not together/],
    [["--server", "ftp://x"], 2, /http/],
  ];
  for (const [args, code, says] of cases) {
    const watch = tailrace(["watch", ...args]);
    expect([args, await watch.ended]).toEqual([args, code]);
    expect(watch.stderr).toMatch(/^tailrace: [^\n]+\n$/);
    expect(watch.stderr).toMatch(says);
    expect(watch.stdout.length).toBe(0);
  }
});

test("a checkpoint file that holds something else is not sent anywhere", async () => {
  const { server } = await serve();
  const file = join(scratchDirectory(), "notes");
  writeFileSync(file, "my secret notes\n");
  const watch = tailrace(["watch", "--server", server.url, "--checkpoint", file]);
  expect(await watch.ended).toBe(2);
  expect(readFileSync(file, "utf8")).toBe("my secret notes\n");
});

test("a checkpoint that can't be saved is refused at the start", async () => {
  const { server } = await serve();
  const file = join(scratchDirectory(), "nowhere", "cursor");
  const watch = tailrace(["watch", "--server", server.url, "--checkpoint", file]);
  expect(await watch.ended).toBe(2);
  expect(watch.stderr).toContain("--checkpoint");
});

test("a long replay says how far it is and how fast", async () => {
  const { runtime, server } = await serve();
  const event = {
    workerId: "w",
    payload: { case: "narration", value: { action: "a", message: "x".repeat(200) } },
  } as const;
  for (let batch = 0; batch < 30; batch++) await runtime.publish(Array.from({ length: 5_000 }, () => event));
  await runtime.worker("w").end({ outcome: WorkerOutcome.SUCCEEDED });
  // A reader at the speed of a terminal.
  const run = shell(
    `tailrace watch --server ${server.url} --worker w | (for i in 1 2 3 4 5 6 7 8; do head -c 2000000 > /dev/null; sleep 0.3; done; cat > /dev/null)`,
  );
  expect(await run.ended).toBe(0);
  expect(run.stderr).toMatch(/tailrace: replayed [\d,]+ events, \d+% of what is there, [\d,]+\/s\n/);
  expect(run.stderr).toMatch(/tailrace: caught up: [\d,]+ events in [\d.]+ s, [\d,]+\/s\n/);
});

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
