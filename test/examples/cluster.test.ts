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

test("a cluster behind nginx goes on without one Tailrace server, and without one NATS server", async () => {
  const directory = scratchDirectory();
  const port = await firstPort();
  const natsServer = execFileSync("bash", [join(root, "scripts/nats-server.sh")], { encoding: "utf8" }).trim();
  const cluster = new Started("bash", [join(root, "examples/cluster/cluster.sh"), directory], {
    env: { PORT: String(port), NATS_SERVER: natsServer, TAILRACE: `${process.execPath} ${entry}` },
  });
  const [, url = ""] = await cluster.until("stdout", /^tailrace ready (\S+)\n/m);
  const kill = (name: string) => process.kill(Number(readFileSync(join(directory, `${name}.pid`), "utf8")), "SIGKILL");
  const watch = tailrace(["watch", "--server", url, "--format", "json"]);
  await watch.until("stdout", /runtimeStarted/);

  let number = 0;
  const published: string[] = [];
  const publish = () =>
    eventually(async () => {
      const text = `line ${++number}\n`;
      const args = ["publish", "-q", "--server", url, "--worker", `w${number}`, "--text"];
      const attempt = tailrace(args, { input: text });
      expect([await attempt.ended, attempt.stderr]).toEqual([0, ""]);
      published.push(text);
    });
  await publish();
  kill("tailrace1");
  await publish();
  kill("nats1");
  await publish();
  expect(published).toHaveLength(3);
  for (const text of published) await watch.until("stdout", new RegExp(Buffer.from(text).toString("base64")));

  cluster.child.kill("SIGTERM");
  expect(await cluster.ended).toBe(0);
});
