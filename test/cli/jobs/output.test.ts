import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scratchDirectory } from "../../support/scratch.ts";
import { Started, shell, tailrace } from "../support.ts";
import { bash, serveOperations } from "./support.ts";

test("much output comes whole, and nothing but lines of the job and ours is on stderr", async () => {
  const { url } = await serveOperations({ count: { command: ["seq", "1", "500000"] } });
  const count = tailrace(["submit", "--server", url, "count"]);
  expect(await count.ended).toBe(0);
  expect(count.stdout.toString()).toBe(Array.from({ length: 500_000 }, (_, index) => `${index + 1}\n`).join(""));
  const foreign = count.stderr.split("\n").filter((line) => !/^(tailrace: job |[\d:.]{12} {2}execute|$)/.test(line));
  expect(foreign).toEqual([]);
});

test("a reader that leaves changes nothing of the job, nor of the exit code", async () => {
  const { url } = await serveOperations({ count: bash("seq 1 200000; exit 3") });
  const piped = shell(`tailrace submit -q --server ${url} count | head -n 2; echo "\${PIPESTATUS[0]}"`);
  expect([await piped.ended, piped.stdout.toString(), piped.stderr]).toEqual([0, "1\n2\n1\n", ""]);
});

test("a line that the job leaves unfinished on stderr is not glued to ours", async () => {
  const { url } = await serveOperations({ ask: bash("printf 'half a line' >&2") });
  const ask = tailrace(["submit", "--server", url, "ask"]);
  expect(await ask.ended).toBe(0);
  expect(ask.stderr).toMatch(/^half a line\n[\d:.]{12} {2}execute_complete/m);
});

test("--json is one event per line, from the first to the end", async () => {
  const { url } = await serveOperations({ ok: bash("echo out") });
  const job = tailrace(["submit", "--server", url, "ok", "--json"]);
  expect([await job.ended, job.stderr]).toEqual([0, ""]);
  const events = job.stdout
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, { state?: string }>);
  expect(events.at(0)).toMatchObject({ jobStateChanged: { state: "JOB_STATE_QUEUED", operation: "ok" } });
  expect(events.at(-1)).toMatchObject({ jobStateChanged: { state: "JOB_STATE_SUCCEEDED" } });
  expect(events.some((event) => "output" in event)).toBe(true);
  const detached = tailrace(["submit", "--server", url, "ok", "--json", "--detach"]);
  expect(await detached.ended).toBe(0);
  expect(JSON.parse(detached.stdout.toString())).toMatchObject({ operation: "ok" });
});

test("a bar in a terminal, whole lines above it; the keyboard's Ctrl-C cancels", async () => {
  const seen = join(scratchDirectory(), "seen");
  const narrate = '"$NODE" "$TAILRACE" narrate';
  // What comes in one piece with the next is not drawn in between.
  const script = `
    ${narrate} --done 1 --total 4 --unit files --task fetch
    until [ -e ${seen} ]; do sleep 0.05; done
    printf 'half a '; sleep 0.1; printf 'line\\n\\033[2Jcleared\\n'
    ${narrate} --level warn "careful"
    ${narrate} --done 4 --total 4 --unit files --task fetch
    echo group $$; sleep 1000`;
  const { url } = await serveOperations({ show: bash(script) });
  // script(1) gives it a terminal.
  const command = `stty cols 80; exec '${process.execPath}' src/cli/main.ts submit --server ${url} show`;
  const terminal = new Started("script", ["-qec", command, "/dev/null"], {
    env: { TERM: "xterm", SHELL: "/bin/bash" },
  });
  await terminal.until("stdout", /25%/);
  writeFileSync(seen, "");
  await terminal.until("stdout", /group \d+/);
  terminal.child.stdin?.write("\x03");
  expect(await terminal.ended).toBe(130);
  const screen = terminal.stdout.toString();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal gets
  expect(screen).toMatch(/fetch \u001b\[32m#{6}\u001b\[0m\u001b\[2m-{18}\u001b\[0m {2}25% {2}1 of 4 files\r?\n/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal gets
  expect(screen).toMatch(/\r\u001b\[2K\u001b\[1A\r\u001b\[2K/);
  expect(screen).toContain("half a line\r\n");
  expect(screen).toContain("\\x1b[2Jcleared\r\n");
  expect(screen).toMatch(/warning: careful/);
  expect(screen).toContain("100%");
  expect(screen).toMatch(/cancelling job/);
});

test.each(["stty cols 80;", "stty cols 0;"])(
  "the last bar stays above what is said about the end (%s)",
  async (width) => {
    const { url } = await serveOperations({
      done: bash('"$NODE" "$TAILRACE" narrate --done 4 --total 4 --unit files'),
    });
    const command = `${width} exec '${process.execPath}' src/cli/main.ts submit --server ${url} done`;
    const terminal = new Started("script", ["-qec", command, "/dev/null"], {
      env: { TERM: "xterm", SHELL: "/bin/bash" },
    });
    expect(await terminal.ended).toBe(0);
    const screen = terminal.stdout.toString();
    expect(screen).toMatch(/100% {2}4 of 4 files\r?\n[^#]*tailrace: job \S+ succeeded[^\n]*\n$/);
  },
);

test("the command line of a job's own script narrates and tells its progress, in lines where there is no terminal", async () => {
  const script = `
    "$NODE" "$TAILRACE" narrate --action clone --target repo "fetching the sources"
    "$NODE" "$TAILRACE" narrate --done 1 --total 4 --unit files
    "$NODE" "$TAILRACE" narrate --action push --level error "error: rejected"
    echo "$TAILRACE_JOB_ID" > ids; echo "$TAILRACE_WORKER_ID" >> ids; echo "$TAILRACE_CORRELATION_ID" >> ids`;
  const cwd = scratchDirectory();
  const { url } = await serveOperations({ talk: bash(script, { cwd }) });
  const job = tailrace(["submit", "--server", url, "talk", "--worker", "w1", "--correlation", "c1"]);
  expect(await job.ended).toBe(0);
  expect(job.stderr).toMatch(/ {2}clone: fetching the sources$/m);
  expect(job.stderr).toMatch(/ {2}push: error: rejected$/m);
  expect(job.stderr).toMatch(/ {2}1 of 4 files \(25%\)$/m);
  const [, id] = /^tailrace: job (\S+)$/m.exec(job.stderr) ?? [];
  expect(readFileSync(join(cwd, "ids"), "utf8")).toBe(`${id}\nw1\nc1\n`);
});
