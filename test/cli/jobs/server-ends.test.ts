import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { groupIsGone, processIsGone } from "../../support/processes.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { startTcpProxy } from "../../support/tcp-proxy.ts";
import { startServe, tailrace, until } from "../support.ts";
import { bash, groupOf, idOf, jobOf, processesThatName, serveOperations, stubborn, submit } from "./support.ts";

function portOf(url: string): number {
  return Number(new URL(url).port);
}

describe("the server", () => {
  test("that is killed and comes back has marked the job as failed, and its command is gone", async () => {
    const listen = ["--listen", "127.0.0.1:0", "--data", join(scratchDirectory(), "log")];
    const { url, process: server } = await serveOperations(
      { stubborn: bash(stubborn, { cancelGrace: "300ms" }) },
      listen,
    );
    // Keeps the address while the server is away.
    const proxy = await startTcpProxy(portOf(url));
    const job = submit(proxy.url, "stubborn");
    const group = await groupOf(job);
    server.child.kill("SIGKILL");
    await job.until("stderr", /Trying again/);
    proxy.target(portOf((await startServe(listen)).url));
    expect(await job.ended).toBe(1);
    expect(job.stderr).toMatch(/connected again to/);
    expect(job.stderr).toMatch(/failed \(runtime_restarted\)/);
    expect(groupIsGone(group)).toBe(true);
  });

  test("that is killed and comes back runs what was queued, and tells whoever follows it", async () => {
    const listen = ["--listen", "127.0.0.1:0", "--data", join(scratchDirectory(), "log")];
    const began = join(scratchDirectory(), "began");
    const script = `[ -e ${began} ] && exit 0; touch ${began}; echo group $$; sleep 1000`;
    const operations = { turns: bash(script, { concurrency: 1 }) };
    const { url, process: server } = await serveOperations(operations, listen);
    const proxy = await startTcpProxy(portOf(url));
    const first = submit(proxy.url, "turns");
    await groupOf(first);
    const second = submit(proxy.url, "turns");
    await idOf(second);
    server.child.kill("SIGKILL");
    await second.until("stderr", /Trying again/);
    proxy.target(portOf((await serveOperations(operations, listen)).url));
    expect([await first.ended, await second.ended]).toEqual([1, 0]);
    expect(second.stderr.indexOf("  execute: ")).toBeGreaterThan(second.stderr.indexOf("Trying again"));
  });

  test("that is killed gives its commands their grace, and the next one waits for them before their jobs end", async () => {
    const data = join(scratchDirectory(), "log");
    const listen = ["--listen", "127.0.0.1:0", "--data", data];
    const goOn = join(scratchDirectory(), "go-on");
    const script = `trap 'until [ -e ${goOn} ]; do sleep 0.05; done; exit' TERM; echo group $$; sleep 1000 & wait`;
    const operations = {
      slow: bash(script, { cancelGrace: "1h" }),
      stubborn: bash(stubborn, { cancelGrace: "200ms" }),
    };
    const { url, process: server } = await serveOperations(operations, listen);
    const job = submit(url, "slow");
    const id = await idOf(job);
    const group = await groupOf(job);
    const other = await groupOf(submit(url, "stubborn"));
    server.child.kill("SIGKILL");
    await server.ended;
    await until(() => groupIsGone(other));
    const stopped = tailrace(["serve", ...listen]);
    await stopped.until("stderr", /waiting for the commands/);
    expect(groupIsGone(group)).toBe(false);
    // Whoever does not want to wait any longer leaves the jobs to the next.
    stopped.child.kill("SIGTERM");
    expect([await stopped.ended, stopped.stdout.toString()]).toEqual([0, ""]);
    const next = tailrace(["serve", ...listen]);
    await next.until("stderr", /waiting for the commands/);
    writeFileSync(goOn, "");
    const [, nextUrl = ""] = await next.until("stdout", /^tailrace ready (http:\/\/\S+)\n/m);
    expect(groupIsGone(group)).toBe(true);
    expect(await jobOf(nextUrl, id)).toMatchObject({ reason: "runtime_restarted" });
    expect(existsSync(join(data, "commands.fifo"))).toBe(false);
  });

  test("whose guard was killed with it has nobody to wait for", async () => {
    const data = join(scratchDirectory(), "log");
    const listen = ["--listen", "127.0.0.1:0", "--data", data];
    const { url, process: server } = await serveOperations({ stubborn: bash(stubborn) }, listen);
    await groupOf(submit(url, "stubborn"));
    const fifo = join(data, "commands.fifo");
    const guards = processesThatName(fifo);
    expect(guards).toHaveLength(1);
    process.kill(guards[0] as number, "SIGKILL");
    await until(() => processIsGone(guards[0] as number));
    server.child.kill("SIGKILL");
    await server.ended;
    expect((await startServe(listen)).process.stderr).toBe("");
    expect(existsSync(fifo)).toBe(false);
  });

  test("that is killed leaves no command that heeds SIGTERM", async () => {
    const { url, process: server } = await serveOperations({ sleep: bash("echo group $$; sleep 1000 & sleep 1000") });
    const group = await groupOf(submit(url, "sleep"));
    server.child.kill("SIGKILL");
    await until(() => groupIsGone(group));
  });

  test("that gets SIGTERM ends its commands, and says so in their jobs", async () => {
    const listen = ["--listen", "127.0.0.1:0", "--data", join(scratchDirectory(), "log")];
    const operations = { stubborn: bash(stubborn, { cancelGrace: "100ms" }) };
    const { url, process: server } = await serveOperations(operations, listen);
    const proxy = await startTcpProxy(portOf(url));
    const job = submit(proxy.url, "stubborn");
    const group = await groupOf(job);
    server.child.kill("SIGTERM");
    expect(await server.ended).toBe(0);
    expect(groupIsGone(group)).toBe(true);
    expect(server.stderr).toBe("");
    proxy.target(portOf((await serveOperations(operations, listen)).url));
    expect(await job.ended).toBe(1);
    expect(job.stderr).toMatch(/failed \(runtime_closed\)/);
  });

  test("that gets a second signal ends its commands too", async () => {
    const { url, process: server } = await serveOperations({ stubborn: bash(stubborn, { cancelGrace: "1h" }) });
    const group = await groupOf(submit(url, "stubborn"));
    server.child.kill("SIGTERM");
    // Signals of one kind that are pending are one: the first must have arrived.
    await until(async () => (await fetch(`${url}/readyz`).catch(() => undefined))?.status !== 200);
    server.child.kill("SIGTERM");
    expect(await server.ended).not.toBe(0);
    // They were killed as it ended; dying takes a moment.
    await until(() => groupIsGone(group));
  });
});
