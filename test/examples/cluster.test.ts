import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { entry, Started, tailrace } from "../cli/support.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { eventually } from "../support/until.ts";

const root = join(import.meta.dirname, "../..");

/** Ports that the script takes, after the first. */
const offsets = [0, 1, 2, 11, 12, 13, 31, 32, 33];

/** A first port with which all of them are free, out of a range that no other test uses: the script takes them one by one. */
async function firstPort(): Promise<number> {
  for (;;) {
    const port = 8_000 + Math.floor(Math.random() * 3_900);
    const servers = offsets.map((offset) => createServer().listen(port + offset, "127.0.0.1"));
    const listening = await Promise.allSettled(servers.map((server) => once(server, "listening")));
    for (const server of servers) server.close();
    if (listening.every(({ status }) => status === "fulfilled")) return port;
  }
}

test("behind nginx both servers answer, and when one is killed a watch goes on at the other and has everything once", async () => {
  const directory = scratchDirectory();
  const port = await firstPort();
  const natsServer = execFileSync("bash", [join(root, "scripts/nats-server.sh")], { encoding: "utf8" }).trim();
  const cluster = new Started("bash", [join(root, "examples/cluster/cluster.sh"), directory], {
    env: { PORT: String(port), NATS_SERVER: natsServer, TAILRACE: `${process.execPath} ${entry}` },
  });
  const [, url = ""] = await cluster.until("stdout", /^tailrace ready (\S+)\n/m);
  const servers = [1, 2].map((n) => `http://127.0.0.1:${port + n}`);
  await eventually(async () => expect(await Promise.all(servers.map(isReady))).toEqual([true, true]));
  const kill = (name: string) => process.kill(Number(readFileSync(join(directory, `${name}.pid`), "utf8")), "SIGKILL");
  const watches = [url, ...servers].map((server) => tailrace(["watch", "--server", server, "--format", "json"]));
  for (const watch of watches) await watch.until("stdout", /runtimeStarted/);

  let number = 0;
  const published: string[] = [];
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
  kill("tailrace1");
  await publish(url);
  kill("tailrace2");
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
