import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { shell, tailrace } from "./support.ts";

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as {
  version: string;
};

test("help names every command, and every command has help with examples", async () => {
  const help = tailrace(["--help"]);
  expect(await help.ended).toBe(0);
  const text = help.stdout.toString();
  const listed = text.slice(text.indexOf("Commands:"), text.indexOf("Options:"));
  const commands = [...listed.matchAll(/^ {2}([a-z]+) {2}/gm)].map((match) => match[1] as string);
  expect(commands).toEqual(expect.arrayContaining(["serve", "run", "watch", "publish", "workers", "submit", "jobs"]));
  expect(commands).toEqual(expect.arrayContaining(["job", "start", "cancel", "narrate", "migrate"]));
  for (const command of commands) {
    const own = tailrace([command, "--help"]);
    expect(await own.ended).toBe(0);
    expect(own.stdout.toString()).toMatch(
      new RegExp(`^Usage: tailrace ${command} .*Examples:\n  # .*\n  .*tailrace ${command}`, "s"),
    );
    expect(own.stderr).toBe("");
    for (const line of own.stdout.toString().split("\n")) expect(line.length).toBeLessThanOrEqual(110);
  }
  const short = tailrace(["watch", "-h"]);
  expect(await short.ended).toBe(0);
  expect(short.stdout.toString()).toMatch(/^Usage: tailrace watch/);
});

test("the version is the package's", async () => {
  const asked = tailrace(["--version"]);
  expect(await asked.ended).toBe(0);
  expect(asked.stdout.toString()).toBe(`${version}\n`);
});

test("usage errors are one line that says what to do, and exit code 2", async () => {
  const cases: [args: string[], says: string][] = [
    [["wathc"], '"wathc" is no command. Did you mean "watch"?'],
    [["watch", "--wroker", "x"], "did you mean --worker?"],
    [["watch", "--worker", "--server", "x"], "A value is missing: --worker ID."],
    [["watch", "--since", "yesterday"], "nor a length of time like 5m"],
    [["watch", "--kinds", "nonsense"], "is no kind of event"],
    [["watch", "--last", "10001"], "at most 10000 events"],
    [["watch", "--format=yaml"], "is not one of pretty, json"],
    [["watch", "--quiet=yes"], "takes no value"],
    [["watch", "--cursor", "a", "--cursor", "b"], "only once"],
    [["watch", "stray"], "not expected"],
    [["run"], "The command is missing: tailrace run -- CMD ARGS."],
    [["run", "make"], "Put -- before the command"],
    [["run", "--server", "http://127.0.0.1:1", "--data", "x", "--", "true"], "Not together with --server"],
    [["serve", "--listen", "nowhere"], "must be HOST:PORT"],
    [["serve", "--listen", "0.0.0.0:0", "--log", "memory"], "other machines"],
    [["serve", "--log", "memory", "--data", "x"], "Not with --log memory"],
    [["serve", "--log", "nats://localhost"], "A log in NATS needs a name: --namespace NAME."],
    [["serve", "--log", "paper"], "is not one of embedded, memory, nats://HOST:PORT"],
    [["serve", "--retain-bytes", "lots"], "is no number of bytes"],
    [["publish", "--text"], "Text lines need a worker"],
    [["submit"], "The operation is missing: tailrace submit OPERATION"],
    [["submit", "clone", "depth"], "A parameter is given as KEY=VALUE."],
    [["submit", "clone", "=1"], "A parameter is given as KEY=VALUE."],
    [["submit", "clone", "a=1", "a=2"], "This parameter is given twice."],
    [["submit", "clone", "--params", "[1]"], "It must be an object"],
    [["submit", "clone", "--params", "{"], "It is no JSON"],
    [["submit", "clone", "--timeout", "soon"], "is no length of time"],
    [["submit", "clone", "--timeout", "0s"], '--timeout: "0s" is no time at all'],
    [["submit", "clone", "--idle-timeout", "0ms"], "--idle-timeout: "],
    [["submit", "clone", "--heartbeat", "10ms"], '--heartbeat: "10ms" is not between 1s and 60s'],
    [["watch", "--heartbeat", "2m"], '--heartbeat: "2m" is not between 1s and 60s'],
    [["narrate", "--worker", "w", " "], "The message is missing"],
    [
      ["run", "--command-server", "http://127.0.0.1:1", "--data", "x", "--", "true"],
      "Not together with --command-server",
    ],
    [["jobs", "--state", "done"], "is not one of queued, running"],
    [["job"], "The job is missing: tailrace job ID."],
    [["cancel", "a", "b"], "Only one job can be given."],
    [["start"], "The job is missing: tailrace start ID."],
    [["watch", "--job", "a", "--worker", "b"], "Not together with --worker"],
    [["narrate"], "The message is missing"],
    [["narrate", "hello"], "Outside of a job give --worker ID."],
    [["narrate", "--total", "3", "hello"], "Only with --done N."],
    [["narrate", "--done", "3", "--level", "warn"], "Not together with --done."],
    [["narrate", "--done", "much"], "is no amount"],
  ];
  const started = cases.map(([args]) => tailrace(args, { input: "" }));
  for (const [index, process] of started.entries()) {
    const [args, says] = cases[index] as (typeof cases)[number];
    expect([args, await process.ended]).toEqual([args, 2]);
    expect(process.stderr).toContain(says);
    expect(process.stderr).toMatch(/^tailrace: [^\n]+\n$/);
    expect(process.stdout.length).toBe(0);
  }
});

test("no command at all is a usage error that shows the help", async () => {
  const nothing = tailrace([]);
  expect(await nothing.ended).toBe(2);
  expect(nothing.stderr).toMatch(/^Usage: tailrace COMMAND/);
});

test("TAILRACE_SERVER names the server, and a wrong one is said by its name", async () => {
  const away = tailrace(["workers"], { env: { TAILRACE_SERVER: "http://127.0.0.1:9" } });
  const wrong = tailrace(["workers"], { env: { TAILRACE_SERVER: "nonsense" } });
  expect(await away.ended).toBe(4);
  expect(await wrong.ended).toBe(2);
  expect(wrong.stderr).toMatch(/^tailrace: TAILRACE_SERVER: "nonsense" is no URL.*\n$/);
});

test("help survives a reader that leaves", async () => {
  const piped = shell(`tailrace --help | head -n 1; echo "\${PIPESTATUS[0]}"`);
  expect(await piped.ended).toBe(0);
  expect(piped.stdout.toString()).toBe("Usage: tailrace COMMAND [OPTIONS]\n0\n");
  expect(piped.stderr).toBe("");
});
