import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { entry, Started, shell, tailrace } from "../cli/support.ts";
import { readPage } from "../support/pages.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { eventually, patienceMs } from "../support/until.ts";

const root = join(import.meta.dirname, "../..");
const script = join(root, "examples/cluster/cluster.sh");
const ours = `${process.execPath} ${entry}`;
const natsServer = () => execFileSync("bash", [join(root, "scripts/nats-server.sh")], { encoding: "utf8" }).trim();

/** The lines of the guide that show the example, by what they begin with. */
const lines = /^```sh\n(examples\/cluster[\s\S]*?)^```$/m
  .exec(readPage("docs/guides/scaling.md"))?.[1]
  ?.trim()
  .split("\n");

/** Ports that the script takes, after the first. */
const offsets = [0, 1, 2, 11, 12, 13, 31, 32, 33];

/** A first port with which all of them are free, out of a range that no other test uses: the script takes them one by one. */
async function firstPort(): Promise<number> {
  for (;;) {
    const port = 8_000 + Math.floor(Math.random() * 3_900);
    if (await areFree(port)) return port;
  }
}

async function areFree(port: number): Promise<boolean> {
  const servers = offsets.map((offset) => createServer().listen(port + offset, "127.0.0.1"));
  const listening = await Promise.allSettled(servers.map((server) => once(server, "listening")));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return listening.every(({ status }) => status === "fulfilled");
}

test("as the guide has it: killed servers come back, and a watch at one goes on at another and has everything once", async () => {
  const cwd = scratchDirectory();
  const port = await firstPort();
  const url = `http://127.0.0.1:${port}`;
  const [start = "", hello = "", watching = "", killTailrace = "", killNats = ""] = lines ?? [];
  const env = { PORT: String(port), NATS_SERVER: natsServer(), TAILRACE: ours, START_SECONDS: "600" };
  // As a terminal has it, but for the ports and where the checkout is.
  const inTerminal = (line: string) => shell(line.replaceAll("http://127.0.0.1:8400", url), { cwd, env });
  const cluster = new Started("bash", ["-c", `exec ${start.replace("examples/cluster/cluster.sh", script)}`], {
    cwd,
    env,
  });
  expect((await cluster.until("stdout", /^tailrace ready (\S+)\n/m))[1]).toBe(url);
  const servers = [1, 2].map((n) => `http://127.0.0.1:${port + n}`);
  expect(await Promise.all(servers.map(isReady))).toEqual([true, true]);
  const pid = (name: string) => Number(readFileSync(join(cwd, "cluster-data", `${name}.pid`), "utf8"));
  const published = ["hello\n"];
  const first = inTerminal(hello);
  expect([await first.ended, first.stderr]).toEqual([0, expect.any(String)]);
  const shown = inTerminal(watching);
  await shown.until("stdout", /hello/);
  const watches = servers.map((server) => tailrace(["watch", "--server", server, "--format", "json"]));
  watches.push(tailrace(["watch", "--server", url, "--format", "json"]));
  for (const watch of watches) await watch.until("stdout", new RegExp(base64(published[0] as string)));

  let number = 0;
  const publish = (server: string) =>
    eventually(async () => {
      const text = `line ${++number}\n`;
      const args = ["publish", "-q", "--server", server, "--worker", `w${number}`, "--text"];
      const attempt = tailrace(args, { input: text });
      expect([await attempt.ended, attempt.stderr]).toEqual([0, ""]);
      published.push(text);
    });
  // What one server took, the watches of both show.
  for (const server of servers) await publish(server);
  const before = pid("tailrace1");
  expect(await inTerminal(killTailrace).ended).toBe(0);
  await publish(url);
  // It was the server that was killed: another one listens in its place, and the log has one more start.
  await eventually(async () =>
    expect([pid("tailrace1") !== before, await isReady(servers[0] as string)]).toEqual([true, true]),
  );
  expect(readFileSync(join(cwd, "cluster-data/tailrace1.log"), "utf8")).not.toContain("is in use");
  process.kill(pid("tailrace2"), "SIGKILL");
  await publish(url);
  expect(await inTerminal(killNats).ended).toBe(0);
  await publish(url);
  for (const watch of watches) {
    // It came back by itself, with its cursor: everything acknowledged is there once, and in order.
    await watch.until("stdout", new RegExp(base64(published.at(-1) as string)));
    const shown = watch.stdout.toString();
    const places = published.map((text) =>
      [...shown.matchAll(new RegExp(base64(text), "g"))].map(({ index }) => index),
    );
    expect(places.map(({ length }) => length)).toEqual(published.map(() => 1));
    expect(places.flat()).toEqual(places.flat().toSorted((a, b) => a - b));
  }

  cluster.child.kill("SIGTERM");
  expect(await cluster.ended).toBe(0);
  // Nothing of it runs on.
  expect(await areFree(port)).toBe(true);
});

test("what keeps the example from running is said, and ends it", async () => {
  const directory = scratchDirectory();
  const program = (name: string, line: string) => {
    const path = join(directory, name);
    writeFileSync(path, `#!/bin/sh\n${line}\n`, { mode: 0o755 });
    return path;
  };
  const old = program("old", 'echo "nats-server: v2.9.10"');
  const ends = program(
    "ends",
    '[ "$1" = --version ] && echo "nats-server: v2.12.0" && exit; echo "no good" >&2; exit 1',
  );
  const takenPort = await firstPort();
  const taken = createServer().listen(takenPort, "127.0.0.1");
  await once(taken, "listening");
  const env = { PORT: String(await firstPort()), TAILRACE: ours, START_SECONDS: "600" };
  const cases: [env: Record<string, string>, says: RegExp][] = [
    [{ NATS_SERVER: old }, /old is "nats-server: v2\.9\.10": nats-server 2\.12 or later is needed/],
    [{ NATS_SERVER: join(directory, "none") }, /there is no nats-server that runs as .*2\.12 or later is needed/],
    [{ NATS_SERVER: ends }, /nats\d has ended: no good/],
    [{ NATS_SERVER: natsServer(), TAILRACE: "npx tailrace" }, /TAILRACE must become the server itself/],
    [{ NATS_SERVER: natsServer(), TAILRACE: "/nowhere/tailrace" }, /there is no \/nowhere\/tailrace/],
    [{ NATS_SERVER: natsServer(), PORT: String(takenPort) }, /nginx has ended: .*bind/],
    [{ NATS_SERVER: natsServer(), TAILRACE: "false", START_SECONDS: "0" }, /not ready within 0 s/],
  ];
  for (const [more, says] of cases) {
    const cluster = new Started("bash", [script, join(directory, "data")], { env: { ...env, ...more } });
    // One that does not see what keeps it would wait for it as long as START_SECONDS, or for ever.
    const end = await Promise.race([cluster.ended, delay(patienceMs / 2, "goes on", { ref: false })]);
    expect([more, end, cluster.stderr]).toEqual([more, 1, expect.stringMatching(says)]);
  }
  taken.close();
});

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

async function isReady(server: string): Promise<boolean> {
  return fetch(`${server}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  );
}
