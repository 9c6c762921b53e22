import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scratchDirectory } from "../support/scratch.ts";
import { startServe, tailrace } from "./support.ts";

test("it says where it is ready, and SIGTERM ends it with an ordinary end for watchers", async () => {
  const { process: server, url } = await startServe(["--listen", "127.0.0.1:0", "--log", "memory"]);
  expect(server.stdout.toString()).toBe(`tailrace ready ${url}\n`);
  const watch = tailrace(["watch", "--server", url, "--format", "json"]);
  await watch.until("stdout", /runtimeStarted/);
  server.child.kill("SIGTERM");
  expect(await server.ended).toBe(0);
  expect(server.stderr).toBe("");
  // The watcher comes back by itself, as long as it takes.
  await watch.until("stderr", /Trying again/);
});

test("commands can have a port of their own, and what observes has none of them", async () => {
  const file = join(scratchDirectory(), "tailrace.json");
  const operations = { hello: { command: ["bash", "-c", "echo $TAILRACE_SERVER"] } };
  writeFileSync(file, JSON.stringify({ commandListen: "127.0.0.1:1", operations }));
  const options = ["--config", file, "--listen", "127.0.0.1:0", "--command-listen", "127.0.0.1:0", "--log", "memory"];
  const { process: server, url } = await startServe(options);
  const [, commands = ""] =
    /^tailrace commands (http:\/\/\S+)\ntailrace ready \S+\n$/.exec(server.stdout.toString()) ?? [];
  expect(commands).not.toBe("");
  const body = JSON.stringify({ operation: "hello" });
  const submit = (to: string) =>
    fetch(`${to}/v1/jobs`, { method: "POST", headers: { "content-type": "application/json" }, body });
  expect((await submit(url)).status).toBe(404);
  const { streamUrl } = (await (await submit(commands)).json()) as { streamUrl: string };
  const stream = await (await fetch(url + streamUrl)).text();
  expect(stream).toMatch(/\ndata: \[DONE\]\nid: \S+\n\n$/);
  // What the job starts publishes where publishing is served.
  expect(stream).toContain(Buffer.from(`${commands}\n`).toString("base64"));
  expect((await fetch(`${commands}/v1/events`)).status).toBe(404);
  server.child.kill("SIGTERM");
  expect(await server.ended).toBe(0);
});

test("a second signal ends it at once", async () => {
  const { process: server, url } = await startServe(["--listen", "127.0.0.1:0", "--log", "memory"]);
  // A request that never ends holds the graceful end back, once the server has seen its head.
  const held = connect(Number(new URL(url).port), "127.0.0.1");
  held.on("error", () => undefined);
  held.write(
    "POST /tailrace.v1.PublisherService/PublishEvents HTTP/1.1\r\nhost: localhost\r\n" +
      "content-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n",
  );
  expect(String(await once(held, "data"))).toMatch(/^HTTP\/1\.1 100 /);
  server.child.kill("SIGINT");
  server.child.kill("SIGTERM");
  // What ends in order, in its time or not, ends with 0, and what hangs with 1.
  expect([128 + 2, 128 + 15]).toContain(await server.ended);
  held.destroy();
});

test("settings come from a file, and options go before it", async () => {
  const file = join(scratchDirectory(), "tailrace.json");
  writeFileSync(file, JSON.stringify({ listen: "127.0.0.1:1", log: "memory", retainWorkerEvents: 3, retainAge: "2d" }));
  const { url } = await startServe(["--config", file, "--listen", "127.0.0.1:0"]);
  const input = Array.from({ length: 10 }, (_, index) => `line ${index}\n`).join("");
  const publish = tailrace(["publish", "-q", "--server", url, "--worker", "w", "--text"], { input });
  expect(await publish.ended).toBe(0);
  const workers = tailrace(["workers", "--server", url, "--format", "json"]);
  expect(await workers.ended).toBe(0);
  expect(JSON.parse(workers.stdout.toString())).toMatchObject({ workerId: "w", retainedEvents: "3" });
});

test("a directory of an operation that is not there is said at the start", async () => {
  const file = join(scratchDirectory(), "tailrace.json");
  const operations = { here: { command: ["true"], cwd: "." }, gone: { command: ["true"], cwd: "missing" } };
  writeFileSync(file, JSON.stringify({ operations }));
  const { process: server } = await startServe(["--config", file, "--listen", "127.0.0.1:0", "--log", "memory"]);
  expect(server.stderr).toMatch(/^tailrace: operations\.gone\.cwd: there is no directory \S+missing yet\n$/);
});

test("mistakes in the file are named by their key", async () => {
  const directory = scratchDirectory();
  const cases: [content: string, says: string][] = [
    ['{"retainWorkerEvent": 3}', 'retainWorkerEvent: there is no such key; did you mean "retainWorkerEvents"?\n'],
    ['{"retainEvents": true}', "retainEvents: it must be a number"],
    ['{"retainEvents": 0}', "retainEvents: "],
    ['{"listen": 7433}', "listen: it must be a text"],
    ['{"insecure": "yes"}', "insecure: it must be true or false"],
    ['{"listen": ', "it is no JSON"],
    ["[]", "it must hold an object"],
  ];
  for (const [index, [content, says]] of cases.entries()) {
    const file = join(directory, `${index}.json`);
    writeFileSync(file, content);
    const serve = tailrace(["serve", "--config", file]);
    expect([content, await serve.ended]).toEqual([content, 2]);
    expect(serve.stderr).toContain(says);
    expect(serve.stderr).toMatch(/^tailrace: [^\n]+\n$/);
  }
  const missing = tailrace(["serve", "--config", join(directory, "none.json")]);
  expect(await missing.ended).toBe(2);
  expect(missing.stderr).toContain("there is no such file");
});

test("a port or a directory that is in use is said with what to do", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as { port: number };
  const busy = tailrace(["serve", "--log", "memory", "--listen", `127.0.0.1:${port}`]);
  expect(await busy.ended).toBe(2);
  expect(busy.stderr).toMatch(/^tailrace: .*is in use.*\n$/);
  // The log is not even opened: it would have the start and the end of a server that never was.
  const untouched = join(scratchDirectory(), "log");
  const commands = ["--listen", "127.0.0.1:0", "--command-listen", `127.0.0.1:${port}`];
  for (const address of [["--listen", `127.0.0.1:${port}`], commands]) {
    const again = tailrace(["serve", "--data", untouched, ...address]);
    const says = new RegExp(`^tailrace: ${address.at(-2)?.replace("--", "(--)?")}: .*is in use`);
    expect([await again.ended, again.stderr]).toEqual([2, expect.stringMatching(says)]);
    expect(existsSync(untouched)).toBe(false);
  }
  taken.close();

  const data = join(scratchDirectory(), "log");
  await startServe(["--listen", "127.0.0.1:0", "--data", data]);
  const second = tailrace(["serve", "--listen", "127.0.0.1:0", "--data", data]);
  expect(await second.ended).toBe(1);
  expect(second.stderr).toMatch(/^tailrace: [^\n]+\n$/);
});
