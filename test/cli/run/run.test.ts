import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { WorkerOutcome } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { processIsGone } from "../../support/processes.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { serve } from "../../support/serving.ts";
import { endOf, eventsOf, outputBytes, shell, tailrace, until } from "../support.ts";

test("binary output is in the log and passes through byte for byte", async () => {
  const { runtime, server } = await serve();
  const copy = join(scratchDirectory(), "copy");
  const command = `head -c 1500000 /dev/urandom | tee '${copy}'; head -c 70000 /dev/zero >&2`;
  const run = tailrace(["run", "--quiet", "--server", server.url, "--worker", "w", "--", "bash", "-c", command]);
  expect(await run.ended).toBe(0);
  const events = await eventsOf(runtime, "w");
  const original = readFileSync(copy);
  expect(original.length).toBe(1_500_000);
  expect(outputBytes(events, "stdout").equals(original)).toBe(true);
  expect(run.stdout.equals(original)).toBe(true);
  expect(outputBytes(events, "stderr").equals(Buffer.alloc(70_000))).toBe(true);
  expect(run.stderr).toBe("\0".repeat(70_000));
  expect(endOf(events)).toMatchObject({ outcome: WorkerOutcome.SUCCEEDED, exitCode: 0 });
});

test("a character that is cut between two writes stays whole", async () => {
  const { runtime, server } = await serve();
  const command = String.raw`printf '\xe2\x82'; read -r _; printf '\xac\n'`;
  const run = tailrace(["run", "--quiet", "--server", server.url, "--worker", "w", "--", "bash", "-c", command]);
  await until(
    async () =>
      runtime.log.worker("w") !== undefined && outputBytes(await eventsOf(runtime, "w"), "stdout").length === 2,
  );
  run.child.stdin?.write("go\n");
  expect(await run.ended).toBe(0);
  const events = await eventsOf(runtime, "w");
  const chunks = events.flatMap(({ payload }) => (payload.case === "output" ? [Buffer.from(payload.value.data)] : []));
  expect(chunks).toEqual([Buffer.from([0xe2, 0x82]), Buffer.from([0xac, 0x0a])]);
  expect(run.stdout.toString()).toBe("€\n");
});

test("100,000 lines arrive whole and in order", async () => {
  const { runtime, server } = await serve();
  const run = tailrace(["run", "--quiet", "--server", server.url, "--worker", "w", "--", "seq", "1", "100000"]);
  expect(await run.ended).toBe(0);
  const expected = `${Array.from({ length: 100_000 }, (_, index) => index + 1).join("\n")}\n`;
  expect(outputBytes(await eventsOf(runtime, "w"), "stdout").toString()).toBe(expected);
  expect(run.stdout.toString()).toBe(expected);
});

test("a command that is not found ends with 127, one that is no program with 126", async () => {
  const { runtime, server } = await serve();
  const missing = tailrace(["run", "-q", "--server", server.url, "--worker", "missing", "--", "no-such-command"]);
  expect(await missing.ended).toBe(127);
  expect(missing.stderr).toBe("tailrace: no-such-command: command not found\n");
  const missed = endOf(await eventsOf(runtime, "missing"));
  expect(missed).toMatchObject({ outcome: WorkerOutcome.FAILED, message: "command not found" });
  expect(missed.exitCode).toBeUndefined();

  const file = join(scratchDirectory(), "plain");
  writeFileSync(file, "no program\n");
  chmodSync(file, 0o644);
  const plain = tailrace(["run", "-q", "--server", server.url, "--worker", "plain", "--", file]);
  expect(await plain.ended).toBe(126);
  const end = endOf(await eventsOf(runtime, "plain"));
  expect(end).toMatchObject({ outcome: WorkerOutcome.FAILED, message: "permission denied" });
  expect(JSON.stringify(end)).not.toContain(file);
});

test("exit codes and signals are the command's", async () => {
  const { runtime, server } = await serve();
  const failing = tailrace(["run", "-q", "--server", server.url, "--worker", "f", "--", "sh", "-c", "exit 42"]);
  expect(await failing.ended).toBe(42);
  expect(endOf(await eventsOf(runtime, "f"))).toMatchObject({ outcome: WorkerOutcome.FAILED, exitCode: 42 });

  const killed = tailrace([
    "run",
    "-q",
    "--server",
    server.url,
    "--worker",
    "k",
    "--",
    "sh",
    "-c",
    "echo x; kill -9 $$",
  ]);
  expect(await killed.ended).toBe(128 + 9);
  const events = await eventsOf(runtime, "k");
  expect(endOf(events)).toMatchObject({ outcome: WorkerOutcome.FAILED, signal: "SIGKILL" });
  expect(endOf(events).exitCode).toBeUndefined();
  expect(outputBytes(events, "stdout").toString()).toBe("x\n");
});

test("Ctrl-C is the command's to answer, and what it says then is recorded", async () => {
  const { runtime, server } = await serve();
  const command = "trap 'echo stopping; exit 7' INT; echo ready; while :; do sleep 0.05; done";
  const run = tailrace(["run", "-q", "--server", server.url, "--worker", "w", "--", "sh", "-c", command]);
  await run.until("stdout", /ready/);
  run.child.kill("SIGINT");
  expect(await run.ended).toBe(7);
  const events = await eventsOf(runtime, "w");
  expect(outputBytes(events, "stdout").toString()).toBe("ready\nstopping\n");
  expect(endOf(events)).toMatchObject({ outcome: WorkerOutcome.CANCELLED, exitCode: 7 });
});

test("SIGTERM reaches everything that the command started", async () => {
  const { runtime, server } = await serve();
  const command = "sleep 1000 & echo $!; wait";
  const run = tailrace(["run", "-q", "--server", server.url, "--worker", "w", "--", "sh", "-c", command]);
  const [, pid] = await run.until("stdout", /^(\d+)\n/m);
  run.child.kill("SIGTERM");
  expect(await run.ended).toBe(128 + 15);
  await until(() => processIsGone(Number(pid)));
  expect(endOf(await eventsOf(runtime, "w"))).toMatchObject({ outcome: WorkerOutcome.CANCELLED, signal: "SIGTERM" });
});

test("output goes on after the command's own end, as long as someone writes it", async () => {
  const { runtime, server } = await serve();
  const command = "(while kill -0 $$ 2> /dev/null; do sleep 0.05; done; echo late) & echo early";
  const run = tailrace(["run", "-q", "--server", server.url, "--worker", "w", "--", "sh", "-c", command]);
  expect(await run.ended).toBe(0);
  expect(outputBytes(await eventsOf(runtime, "w"), "stdout").toString()).toBe("early\nlate\n");
});

test("a command may open /dev/stdout and /dev/stderr by name", async () => {
  const { server } = await serve();
  const command = "echo out > /dev/stdout; echo err > /dev/stderr";
  const run = tailrace(["run", "-q", "--server", server.url, "--", "bash", "-c", command]);
  expect(await run.ended).toBe(0);
  expect(run.stdout.toString()).toBe("out\n");
  expect(run.stderr).toBe("err\n");
});

test("a reader that leaves ends the command as if nothing were in between", async () => {
  const { server } = await serve();
  const run = shell(`tailrace run -q --server ${server.url} --worker w -- yes | head -n 2; echo "\${PIPESTATUS[0]}"`);
  expect(await run.ended).toBe(0);
  expect(run.stdout.toString()).toBe("y\ny\n141\n");
  expect(run.stderr).toBe("");
});

test("a worker that has ended is refused before the command starts", async () => {
  const { server } = await serve();
  const first = tailrace(["run", "-q", "--server", server.url, "--worker", "w", "--", "true"]);
  expect(await first.ended).toBe(0);
  const marker = join(scratchDirectory(), "marker");
  const second = tailrace(["run", "-q", "--server", server.url, "--worker", "w", "--", "touch", marker]);
  expect(await second.ended).toBe(2);
  expect(second.stderr).toMatch(/^tailrace: .*ended.*\n$/);
  expect(() => readFileSync(marker)).toThrow();
});

test("a server that does not answer at first is exit code 4, and the command does not start", async () => {
  const run = tailrace(["run", "-q", "--server", "http://127.0.0.1:9", "--", "echo", "never"]);
  expect(await run.ended).toBe(4);
  expect(run.stdout.toString()).toBe("");
  expect(run.stderr).toMatch(/^tailrace: .*can't be reached.*\n$/);
});
