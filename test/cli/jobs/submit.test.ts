import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { groupIsGone } from "../../support/processes.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { stablePort } from "../../support/stable-port.ts";
import { type Started, tailrace } from "../support.ts";
import { bash, groupOf, idOf, jobOf, processesThatName, serveOperations, stubborn, submit } from "./support.ts";

describe("the exit code is what became of the job", () => {
  test("0: it succeeded, whatever its words are; output comes as it is", async () => {
    const script = String.raw`printf 'error: failed\x00\xff'; printf 'careful\n' >&2; exit 0`;
    const { url } = await serveOperations({ ok: bash(script) });
    const job = submit(url, "ok");
    expect(await job.ended).toBe(0);
    expect(job.stdout.equals(Buffer.from("error: failed\0\xff", "latin1"))).toBe(true);
    expect(job.stderr).toMatch(/^careful$/m);
    expect(job.stderr).toMatch(/ {2}execute: .*ok/);
    expect(job.stderr).toMatch(/^tailrace: job \S+ succeeded/m);
  });

  test("1: it failed, and how", async () => {
    const { url } = await serveOperations({
      fail: bash("echo all is well; exit 3"),
      killed: bash("kill -9 $$"),
      missing: { command: ["no-such-program"] },
    });
    const cases = [
      ["fail", /failed \(exit_code\): exit code 3$/m],
      ["killed", /failed \(signal\): ended by SIGKILL$/m],
      ["missing", /failed \(handler_failed\): command not found: no-such-program$/m],
    ] as const;
    for (const [operation, says] of cases) {
      const job = submit(url, operation);
      expect([operation, await job.ended]).toEqual([operation, 1]);
      expect(job.stderr).toMatch(says);
    }
  });

  test("124: it timed out, in each of three ways", async () => {
    // Its number is how the processes are found, if a command got so far as to say anything.
    const nap = `1000.${randomInt(1e9, 1e10)}`;
    const script = `trap "" TERM; echo group $$; sleep ${nap} & sleep ${nap}`;
    const { url } = await serveOperations({
      total: bash(script, { timeouts: { total: "300ms" }, cancelGrace: "100ms" }),
      idle: bash(script, { cancelGrace: "100ms" }),
      queue: bash(stubborn, { concurrency: 1, cancelGrace: "100ms" }),
    });
    const total = submit(url, "total");
    const idle = submit(url, "idle", "--idle-timeout", "300ms");
    const first = submit(url, "queue");
    const running = await groupOf(first);
    const queue = submit(url, "queue", "--queue-timeout", "100ms");
    expect([await total.ended, await idle.ended, await queue.ended]).toEqual([124, 124, 124]);
    expect(total.stderr).toMatch(/timed out \(total_timeout\)/);
    expect(idle.stderr).toMatch(/timed out \(idle_timeout\)/);
    expect(queue.stderr).toMatch(/timed out \(queue_timeout\)/);
    expect(queue.stdout.length).toBe(0);
    expect(processesThatName(nap)).toEqual([]);
    expect(groupIsGone(running)).toBe(false);
  });

  test("130: someone else cancelled it, and nothing of its command is left", async () => {
    const { url } = await serveOperations({ stubborn: bash(stubborn, { cancelGrace: "100ms" }) });
    const job = submit(url, "stubborn");
    const group = await groupOf(job);
    const cancel = tailrace(["cancel", await idOf(job), "--message", "not needed", "--server", url]);
    expect(await cancel.ended).toBe(0);
    expect(cancel.stdout.toString()).toMatch(/^\S+ {2}(running, about to be cancelled|cancelled)\n$/);
    expect(await job.ended).toBe(130);
    expect(job.stderr).toMatch(/cancelled \(cancel_requested\)/);
    expect(groupIsGone(group)).toBe(true);
  });

  test("2: the request makes no sense, and there is no job", async () => {
    const params = { name: { type: "string" }, depth: { type: "integer", minimum: 0, default: 1 } };
    const { url } = await serveOperations({ greet: { command: ["echo", "{name}", "{depth}"], params } });
    const cases: [args: string[], says: string][] = [
      [["gret"], "operation: "],
      [["greet"], "params.name: it is missing"],
      [["greet", "name=12"], `params.name: it must be string (12 is no text; for one write 'name="12"')`],
      [["greet", "name=x", "depth=deep"], "params.depth: it must be integer"],
      [["greet", "name=x", "dept=1"], 'params.dept: there is no such parameter; did you mean "depth"?'],
      [["greet", "name=x", "depth=-5"], "params.depth: it must be >= 0\n"],
      [["greet", "name=-rf"], 'params.name: it begins with "-"'],
    ];
    const jobs = cases.map(([args]) => submit(url, ...args));
    for (const [index, job] of jobs.entries()) {
      const [args, says] = cases[index] as (typeof cases)[number];
      expect([args, await job.ended]).toEqual([args, 2]);
      expect(job.stderr).toContain(says);
      expect(job.stderr).toMatch(/^tailrace: [^\n]+\n$/);
    }
    const listed = tailrace(["jobs", "--json", "--server", url]);
    expect(await listed.ended).toBe(0);
    expect(listed.stdout.toString()).toBe("");
    const right = submit(url, "-q", "greet", 'name="12"');
    expect(await right.ended).toBe(0);
    expect([right.stdout.toString(), right.stderr]).toEqual(["12 1\n", ""]);
  });

  test("4: no server answers", async () => {
    for (const args of [[], ["--detach"]]) {
      const job = submit(`http://127.0.0.1:${await stablePort()}`, "x", ...args);
      expect(await job.ended).toBe(4);
      expect(job.stderr).toMatch(/^tailrace: The server can't be reached[^\n]*\n$/);
    }
  });
});

describe("Ctrl-C", () => {
  test("once cancels the job and waits for its end", async () => {
    const { url } = await serveOperations({ stubborn: bash(stubborn, { cancelGrace: "100ms" }) });
    const job = submit(url, "stubborn");
    const group = await groupOf(job);
    const id = await idOf(job);
    job.child.kill("SIGINT");
    expect(await job.ended).toBe(130);
    expect(job.stderr).toContain(`tailrace: cancelling job ${id}; once more leaves it running\n`);
    expect(job.stderr).toMatch(/cancelled \(cancel_requested\)/);
    expect(groupIsGone(group)).toBe(true);
    expect(await jobOf(url, id)).toMatchObject({ state: "JOB_STATE_CANCELLED", reason: "cancel_requested" });
  });

  test("before the server has answered, twice, ends it", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void silent.close());
    await once(silent, "listening");
    const job = submit(`http://127.0.0.1:${(silent.address() as { port: number }).port}`, "x");
    const [socket] = (await once(silent, "connection")) as [{ destroy(): void }];
    job.child.kill("SIGINT");
    await job.until("stderr", /cancelling the job; once more leaves it running/);
    job.child.kill("SIGINT");
    expect(await job.ended).toBe(130);
    socket.destroy();
  });

  test("twice leaves it running", async () => {
    const { url } = await serveOperations({ stubborn: bash(stubborn, { cancelGrace: "1h" }) });
    const job = submit(url, "stubborn");
    const group = await groupOf(job);
    const id = await idOf(job);
    job.child.kill("SIGINT");
    await job.until("stderr", /cancelling/);
    job.child.kill("SIGINT");
    expect(await job.ended).toBe(130);
    expect(job.stderr).toContain(`tailrace: leaving it as it is: tailrace job ${id}\n`);
    expect(groupIsGone(group)).toBe(false);
    expect(await jobOf(url, id)).toMatchObject({ state: "JOB_STATE_RUNNING" });
  });
});

test("a queued job that is cancelled never runs; --detach, --deferred, start, jobs and job", async () => {
  const marker = join(scratchDirectory(), "marker");
  const { url } = await serveOperations({
    mark: { command: ["touch", "{file}"], params: { file: { type: "string" } } },
  });
  const on = (...args: string[]) => tailrace([...args, "--server", url]);
  const printed = async (process: Started) => {
    expect([await process.ended, process.stderr]).toEqual([0, ""]);
    return process.stdout.toString().trim();
  };
  const first = await printed(on("submit", "mark", `file=${marker}`, "--deferred", "--detach"));
  expect(first).toMatch(/^[\w-]+$/);
  expect(await printed(on("cancel", first))).toBe(`${first}  cancelled`);
  // Of a job that has ended nothing changes.
  expect(await printed(on("start", first))).toBe(`${first}  cancelled`);

  const key = ["--idempotency-key", "once", "--deferred", "--detach"];
  const second = await printed(on("submit", "mark", `file=${marker}`, ...key));
  expect(await printed(on("submit", "mark", `file=${marker}`, ...key))).toBe(second);
  expect(await jobOf(url, second)).toMatchObject({
    state: "JOB_STATE_QUEUED",
    deferred: true,
    params: { file: marker },
  });
  expect(await printed(on("job", second))).toContain("queued, waits for `tailrace start`");
  const watching = on("watch", "--job", second);
  await watching.until("stdout", /job_state_changed +queued/);
  expect(existsSync(marker)).toBe(false);
  await printed(on("start", second));
  expect(await watching.ended).toBe(0);
  expect(watching.stderr).toMatch(/ended: succeeded/);
  expect(existsSync(marker)).toBe(true);

  const table = await printed(on("jobs"));
  expect(table).toMatch(new RegExp(`^JOB .*\n${second} .*succeeded.*\n${first} .*cancelled.*cancel_requested`));
  const cancelled = await printed(on("jobs", "--state", "cancelled,failed", "--operation", "mark", "--json"));
  expect(JSON.parse(cancelled)).toMatchObject({ jobId: first, operation: "mark", state: "JOB_STATE_CANCELLED" });
  expect(await printed(on("jobs", "--operation", "other", "--json"))).toBe("");
  const nothing = on("job", "no-such-job");
  expect(await nothing.ended).toBe(1);
  expect(nothing.stderr).toMatch(/^tailrace: [^\n]*no-such-job[^\n]*\n$/);
});
