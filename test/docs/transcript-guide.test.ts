import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { scratchDirectory } from "../support/scratch.ts";
import { eventually } from "../support/until.ts";

const root = join(import.meta.dirname, "../..");
const guide = readFileSync(join(root, "docs/guides/transcript.md"), "utf8");
const doors = { tailrace: "index.ts", "tailrace/client": "client/index.ts", "tailrace/server": "server/index.ts" };

/** Writes the guide's programs to a directory, with the package's doors replaced by their sources. */
function writePrograms(directory: string): string[] {
  return [...guide.matchAll(/^```ts file=(\S+)\n([\s\S]*?)^```$/gm)].map(([, name, program]) => {
    let source = program as string;
    for (const [door, file] of Object.entries(doors)) {
      source = source.replaceAll(`from "${door}"`, `from "${pathToFileURL(join(root, "src", file)).href}"`);
    }
    writeFileSync(join(directory, name as string), source);
    return name as string;
  });
}

function run(directory: string, program: string, env: Record<string, string>) {
  const lines: string[] = [];
  const child: ChildProcess = spawn(process.execPath, [program], {
    cwd: directory,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  if (child.stdout !== null) createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  return { lines, child, closed: once(child, "close").then(([code]) => code as number | null) };
}

/** What the conversation of one run looks like once it is over, by the guide's own program. */
const conversation = [1, 2, 3].flatMap((turn) => [
  `user: Question ${turn}?`,
  `agent: Let me look at number ${turn}.`,
  `look({"number":${turn}}): saw ${turn}`,
]);

/** The last line of each entry, without its number. */
function finished(lines: readonly string[]): string[] {
  const byEntry = new Map(lines.map((line) => [Number.parseInt(line, 10), line.slice(line.indexOf(" ") + 1)]));
  return [...byEntry].sort(([a], [b]) => a - b).map(([, line]) => line);
}

test("the programs of the guide run as they are: live and polled show the same, also after a restart", async () => {
  const directory = scratchDirectory();
  expect(writePrograms(directory)).toEqual(["agent.ts", "follow.ts", "poll.ts"]);
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');

  const agent = run(directory, "agent.ts", { LISTEN: "127.0.0.1:0" });
  await eventually(() => expect(agent.lines).toHaveLength(1));
  const env = { RUNTIME_URL: (agent.lines[0] as string).replace("runtime at ", "") };

  const follow = run(directory, "follow.ts", env);
  expect(await follow.closed).toBe(0);
  expect(finished(follow.lines)).toEqual(conversation);

  const poll = run(directory, "poll.ts", env);
  expect(await poll.closed).toBe(0);
  expect(poll.lines).toEqual(["10 entries", "10 entries, nothing new", "10 entries, nothing new"]);

  agent.child.kill("SIGTERM");
  expect(await agent.closed).toBe(0);
  // The agent says it all once more, after what it said before.
  const second = run(directory, "agent.ts", { LISTEN: "127.0.0.1:0" });
  await eventually(() => expect(second.lines).toHaveLength(1));
  const again = run(directory, "poll.ts", { RUNTIME_URL: (second.lines[0] as string).replace("runtime at ", "") });
  expect(await again.closed).toBe(0);
  expect(Number.parseInt(again.lines[0] as string, 10)).toBeGreaterThanOrEqual(10);
});
