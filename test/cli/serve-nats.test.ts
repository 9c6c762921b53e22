import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { deleteStream } from "../log/jetstream/support.ts";
import { startNats } from "../support/nats.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { stablePort } from "../support/stable-port.ts";
import { eventually } from "../support/until.ts";
import { startServe, tailrace } from "./support.ts";

const secret = "s3cr3t-that-nobody-reads";

test("two servers have one log in NATS, and the second has everything once the first is stopped", async () => {
  const nats = await startNats({ config: [`authorization { user: u, password: ${secret} }`] });
  const file = join(scratchDirectory(), "tailrace.json");
  writeFileSync(join(file, "../password"), `${secret}\n`);
  writeFileSync(
    file,
    JSON.stringify({
      ...{ log: nats.url, namespace: "wrong", natsMaxBytes: "1GiB" },
      ...{ natsUser: "u", natsPasswordFile: "password" },
    }),
  );
  const first = await startServe(["--config", file, "--namespace", "both", "--listen", "127.0.0.1:0"]);
  const args = ["--log", nats.url, "--namespace", "both", "--nats-user", "u", "--listen", "127.0.0.1:0"];
  const env = { TAILRACE_NATS_PASSWORD: secret };
  const second = await startServe([...args, "--nats-max-bytes", "1GiB"], { env });
  const larger = tailrace(["serve", ...args, "--nats-max-bytes", "2GiB"], { env });
  expect(await larger.ended).toBe(1);
  expect(larger.stderr).toContain("max_bytes is 1073741824 instead of 2147483648");
  const publish = async (url: string, text: string) => {
    const one = tailrace(["publish", "-q", "--server", url, "--worker", "w", "--text"], { input: text });
    expect([await one.ended, one.stderr]).toEqual([0, ""]);
  };
  await publish(first.url, "one\n");
  first.process.child.kill("SIGTERM");
  expect(await first.process.ended).toBe(0);
  await publish(second.url, "two\n");
  const watch = tailrace(["watch", "--server", second.url, "--format", "json"]);
  for (const text of ["one\n", "two\n"]) {
    const once = new RegExp(Buffer.from(text).toString("base64"), "g");
    await watch.until("stdout", once);
    expect(watch.stdout.toString().match(once)).toHaveLength(1);
  }

  expect((await fetch(`${second.url}/readyz`)).status).toBe(200);
  await nats.kill();
  const answer = await eventually(async () => {
    const response = await fetch(`${second.url}/readyz`);
    expect(response.status).toBe(503);
    return response.json();
  });
  expect(answer).toEqual({
    ready: false,
    reasons: [{ reason: "log_unavailable", message: expect.stringMatching(/NATS/), since: expect.any(String) }],
  });
  await nats.start();
  await eventually(async () => expect((await fetch(`${second.url}/readyz`)).status).toBe(200));
  second.process.child.kill("SIGTERM");
  expect(await second.process.ended).toBe(0);
  expect(second.process.stderr).toMatch(
    /^tailrace: one replica: [^\n]+\n(tailrace: (The log [^\n]+\.|the log can be used again)\n)+$/,
  );
  for (const { process } of [first, second]) expect(process.stdout + process.stderr).not.toContain(secret);
});

test("a server whose log has ended ends too, so that a supervisor starts it again", async () => {
  const nats = await startNats();
  const { process } = await startServe(["--log", nats.url, "--namespace", "gone", "--listen", "127.0.0.1:0"]);
  await deleteStream(nats.url, "gone");
  expect(await process.ended).toBe(1);
  expect(process.stderr).toMatch(/stream was deleted.+Start the server again/);
});

test("what is wrong with a log in NATS is said in one line, without secrets", async () => {
  const port = await stablePort();
  const nats = await startNats({ config: [`authorization { token: ${secret} }`] });
  const log = ["--log", nats.url, "--namespace", "n"];
  const cases: [args: readonly string[], code: number, says: RegExp, env?: Record<string, string>][] = [
    [["--log", nats.url], 2, /A log in NATS needs a name: --namespace NAME/],
    [
      ["--log", `nats://u:${secret}@127.0.0.1:${port}`, "--namespace", "n"],
      1,
      /No NATS server answers at 127\.0\.0\.1:/,
    ],
    // What an address says is not taken together with what the environment says.
    [
      ["--log", `nats://u:${secret}@127.0.0.1:${port}`, "--namespace", "n"],
      1,
      /No NATS server answers at 127\.0\.0\.1:/,
      { TAILRACE_NATS_TOKEN: secret },
    ],
    [["--log", `nats://u:${secret}@`, "--namespace", "n"], 2, /--log: an address is no address of NATS/],
    [[...log, "--namespace", "n.m"], 2, /--namespace/],
    [[...log, "--data", "d"], 2, /--data: Not with a log in NATS/],
    [log, 1, /does not let this server in/],
    [log, 1, /does not let this server in/, { TAILRACE_NATS_TOKEN: `${secret}x` }],
    [[...log, "--nats-token-file", "/none"], 2, /--nats-token-file: \/none can't be read \(ENOENT\)/],
    [[...log, "--replicas", "3"], 1, /has not enough servers for 3 replicas/, { TAILRACE_NATS_TOKEN: secret }],
  ];
  for (const [args, code, says, env = {}] of cases) {
    const serve = tailrace(["serve", "--listen", "127.0.0.1:0", ...args], { env });
    expect([args, await serve.ended]).toEqual([args, code]);
    expect(serve.stderr).toMatch(says);
    expect(serve.stderr).toMatch(/^tailrace: [^\n]+\n$/);
    expect(serve.stderr).not.toContain(secret);
  }
  const run = tailrace(["run", "--log", nats.url, "--", "true"]);
  expect(await run.ended).toBe(2);
  expect(run.stderr).toMatch(/A log in NATS is for `tailrace serve`/);
});

test("options of NATS without a log in NATS are refused, since the log would look replicated and not be", async () => {
  const directory = scratchDirectory();
  const config = (document: object) => {
    const file = join(scratchDirectory(), "tailrace.json");
    writeFileSync(file, JSON.stringify({ listen: "127.0.0.1:0", ...document }));
    return ["serve", "--config", file];
  };
  const serve = ["serve", "--listen", "127.0.0.1:0"];
  const cases: [args: readonly string[], names: string][] = [
    [[...serve, "--namespace", "x", "--replicas", "3"], "--namespace: Only with a log in NATS"],
    [[...serve, "--replicas", "3", "--log", "memory"], "--replicas: Only with a log in NATS"],
    [[...serve, "--nats-max-bytes", "1GiB"], "--nats-max-bytes: Only with a log in NATS"],
    [[...serve, "--nats-creds", "/nope"], "--nats-creds: Only with a log in NATS"],
    [[...serve, "--replicas", "6", "--log", "nats://127.0.0.1"], "--replicas: a stream of NATS has at most 5 replicas"],
    [config({ replicas: 3 }), "replicas of --config: Only with a log in NATS"],
    [config({ natsCreds: "c", log: "embedded" }), "natsCreds of --config: Only with a log in NATS"],
    [["migrate", "--from", ".", "--to", "b", "--replicas", "3"], "--replicas: Only with a log in NATS"],
    [["migrate", "--from", ".", "--to", "b", "--to-namespace", "n"], "--to-namespace: Only with --to nats://HOST"],
  ];
  for (const [args, names] of cases) {
    const refused = tailrace(args, { cwd: directory });
    // What is served after all is so for ever.
    const serves = refused.until("stdout", /^tailrace ready/m).then(
      () => "serves",
      () => refused.ended,
    );
    expect([args, await Promise.race([refused.ended, serves])]).toEqual([args, 2]);
    expect(refused.stderr).toContain(`tailrace: ${names}`);
  }
  // The command line names another log than the file, and the environment may be everybody's.
  const args = config({ log: "nats://127.0.0.1:1", namespace: "n", replicas: 3 }).slice(1);
  const env = { TAILRACE_NATS_TOKEN: secret };
  expect((await startServe([...args, "--log", "memory"], { cwd: directory, env })).url).toMatch(/^http:/);
});
