import { expect, test } from "vitest";
import { submitAndWatch } from "../../../src/client/index.ts";
import { type Started, startServe, tailrace } from "../support.ts";
import { bash, configOf } from "./support.ts";

const script = `
  "$NODE" "$TAILRACE" narrate "at work"
  echo "$TAILRACE_SERVER"; exit 7`;

/** A server that takes commands and events at one address and is watched at another. */
async function serveSplit(operations: Parameters<typeof configOf>[0] = { talk: bash(script) }) {
  const config = ["--config", configOf(operations), "--log", "memory"];
  const ports = ["--listen", "127.0.0.1:0", "--command-listen", "127.0.0.1:0"];
  const { process, url } = await startServe([...config, ...ports]);
  const [, commands] = await process.until("stdout", /^tailrace commands (\S+)\n/m);
  return { watched: url, commands: commands as string };
}

async function idOf(submit: Started): Promise<string> {
  expect(await submit.ended).toBe(0);
  return submit.stdout.toString().trim();
}

test("submit, jobs, job, cancel and publish find both addresses, by options and by the environment", async () => {
  const { watched, commands } = await serveSplit();
  const options = ["--server", watched, "--command-server", commands];
  const env = { TAILRACE_SERVER: watched, TAILRACE_COMMAND_SERVER: commands };
  for (const submit of [tailrace(["submit", "talk", ...options]), tailrace(["submit", "talk"], { env })]) {
    expect([await submit.ended, submit.stdout.toString()]).toEqual([1, `${commands}\n`]);
    expect(submit.stderr).toMatch(/ {2}log: at work\n/);
    expect(submit.stderr).toMatch(/^tailrace: job \S+ failed \(exit_code\): exit code 7$/m);
  }
  const deferred = await idOf(tailrace(["submit", "talk", "--detach", "--deferred"], { env }));
  const cancel = tailrace(["cancel", deferred, ...options]);
  expect([await cancel.ended, cancel.stderr]).toEqual([0, ""]);
  const job = tailrace(["job", deferred], { env });
  expect([await job.ended, job.stdout.toString()]).toEqual([0, expect.stringMatching(/^state +cancelled$/m)]);
  const list = tailrace(["jobs", "--json"], { env });
  expect([await list.ended, list.stdout.toString().trim().split("\n").length]).toEqual([0, 3]);
  const publish = tailrace(["publish", "-q", "--text", "--worker", "w"], { env, input: "line\n" });
  expect([await publish.ended, publish.stderr]).toEqual([0, ""]);
  const narrate = tailrace(["narrate", "--worker", "w", "said"], { env });
  expect([await narrate.ended, narrate.stderr]).toEqual([0, ""]);
  const run = tailrace(["run", "--worker", "r", "--", "true"], { env });
  expect([await run.ended, run.stderr]).toEqual([0, expect.stringContaining(`watch --server ${watched} --worker r\n`)]);
  const workers = tailrace(["workers", "--format", "json"], { env });
  expect([await workers.ended, workers.stdout.toString().match(/"workerId": ?"\w"/g)]).toEqual([0, expect.any(Array)]);
  expect(workers.stdout.toString().trim().split("\n")).toHaveLength(2);
});

test("a server that is given as an option is not commanded at the address that the environment names", async () => {
  const { commands } = await serveSplit();
  const other = await startServe([
    "--config",
    configOf({ talk: bash("echo other") }),
    "--listen",
    "127.0.0.1:0",
    "--log",
    "memory",
  ]);
  const env = { TAILRACE_SERVER: "http://127.0.0.1:1", TAILRACE_COMMAND_SERVER: commands };
  const submit = tailrace(["submit", "-q", "talk", "--server", other.url], { env });
  expect([await submit.ended, submit.stdout.toString(), submit.stderr]).toEqual([0, "other\n", ""]);
});

test("a job that can't be followed at the address was submitted all the same: its id is said, and the exit code is 4", async () => {
  const { commands } = await serveSplit();
  const submit = tailrace(["submit", "talk", "--server", commands]);
  expect(await submit.ended).toBe(4);
  const [, id] =
    /^tailrace: Job (\S+) was submitted and goes on, but can't be followed: .*--command-server/m.exec(submit.stderr) ??
    [];
  expect(submit.stderr).toContain(
    `tailrace: job ${id} was submitted; see what becomes of it with: tailrace job ${id}\n`,
  );
  expect(submit.stderr).not.toContain("not a Tailrace server");
  const job = tailrace(["job", id as string, "--server", commands]);
  expect([await job.ended, job.stdout.toString()]).toEqual([0, expect.stringMatching(/^operation +talk$/m)]);

  const run = submitAndWatch({ baseUrl: commands, operation: "talk" });
  await expect(run.outcome).rejects.toMatchObject({
    reason: "connection_failed",
    message: expect.stringContaining((await run.submitted).jobId),
  });
  await run.close();
});

test("an address that serves no jobs or takes no events is told as what it is", async () => {
  const { watched } = await serveSplit();
  const says = (what: string) =>
    `tailrace: The server ${what} at this address; give the one that it has for commands (--command-server, in programs commandUrl).\n`;
  for (const args of [["submit", "talk"], ["submit", "talk", "--detach"], ["jobs"], ["job", "x"], ["cancel", "x"]]) {
    const asked = tailrace([...args, "--server", watched]);
    expect([args, await asked.ended, asked.stderr]).toEqual([args, 4, says("serves no jobs")]);
  }
  const narrate = tailrace(["narrate", "--worker", "w", "x", "--server", watched]);
  expect([await narrate.ended, narrate.stderr]).toEqual([4, says("takes no events")]);
  const run = tailrace(["run", "--server", watched, "--", "true"]);
  expect([await run.ended, run.stderr]).toEqual([4, says("takes no events")]);
});

test("programs say both addresses", async () => {
  const { watched, commands } = await serveSplit();
  const run = submitAndWatch({ baseUrl: watched, commandUrl: commands, operation: "talk" });
  const messages: string[] = [];
  for await (const { payload } of run) if (payload.case === "narration") messages.push(payload.value.message);
  expect(messages).toContain("at work");
  expect(await run.outcome).toMatchObject({ state: "failed", exitCode: 7 });
  await run.close();
  expect(() => submitAndWatch({ baseUrl: "nonsense", commandUrl: commands, operation: "talk" })).toThrow(/^baseUrl: /);
  expect(() => submitAndWatch({ baseUrl: watched, commandUrl: "nonsense", operation: "talk" })).toThrow(
    /^commandUrl: /,
  );
});

test("a submit that is refused never ends with the code of a job that failed", async () => {
  const { watched, commands } = await serveSplit({ full: bash("sleep 1000", { concurrency: 1, queueDepth: 1 }) });
  const env = { TAILRACE_SERVER: watched, TAILRACE_COMMAND_SERVER: commands };
  const submit = (...args: string[]) => tailrace(["submit", "full", ...args], { env });
  await idOf(submit("--detach"));
  await idOf(submit("--detach"));
  const refused = submit("--detach");
  expect(await refused.ended).toBe(4);
  expect(refused.stderr).toMatch(/^tailrace: Operation "full" has 1 jobs that wait, and takes no more\..*\n$/);
});
