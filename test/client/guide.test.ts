import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { scratchDirectory } from "../support/scratch.ts";
import { eventually } from "../support/until.ts";

const root = join(import.meta.dirname, "../..");
const doors = { tailrace: "index.ts", "tailrace/client": "client/index.ts", "tailrace/server": "server/index.ts" };

/** Writes the guide's programs to a directory, with the package's doors replaced by their sources. */
function writePrograms(directory: string): string[] {
  const guide = readFileSync(join(root, "docs/guides/watch-from-a-backend.md"), "utf8");
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
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  if (child.stdout !== null) createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const errors: string[] = [];
  if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", (line) => errors.push(line));
  return {
    lines,
    errors,
    async kill(signal: NodeJS.Signals): Promise<number | null> {
      // Not "exit": what it wrote last may still be in its pipes then.
      const closed = once(child, "close");
      child.kill(signal);
      const [code] = (await closed) as [number | null];
      return code;
    },
  };
}

it("the programs of the guide run as they are, and the backend comes back to where it was", async () => {
  const directory = scratchDirectory();
  expect(writePrograms(directory)).toEqual(["runtime.ts", "backend.ts"]);
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');

  const runtime = run(directory, "runtime.ts", { LISTEN: "127.0.0.1:0" });
  await eventually(() => expect(runtime.lines).toHaveLength(1));
  const env = { RUNTIME_URL: (runtime.lines[0] as string).replace("runtime at ", "") };

  const first = run(directory, "backend.ts", env);
  await eventually(() => expect(first.lines.length).toBeGreaterThan(5));
  // Two pipes of one process: their lines come in any order.
  await eventually(() => expect(first.errors).toContain("live"));
  expect(await first.kill("SIGTERM")).toBe(0);
  expect(first.errors).toContain("closed");

  // Meanwhile the worker goes on.
  const second = run(directory, "backend.ts", env);
  await eventually(() => expect(second.lines.length).toBeGreaterThan(5));
  await second.kill("SIGKILL");

  const third = run(directory, "backend.ts", env);
  await eventually(() => expect(third.lines.length).toBeGreaterThan(5));
  await third.kill("SIGTERM");

  const steps = (lines: string[]) => lines.map((line) => Number(line.split(" ").at(-1)));
  const all = [...steps(first.lines), ...steps(second.lines), ...steps(third.lines)];
  const once = [...new Set(all)].sort((a, b) => a - b);
  expect(once).toEqual(Array.from({ length: once.length }, (_, i) => i + 1));
  // The backend that was told to stop had stored its position; only the killed one's last events may come again.
  expect(steps(second.lines)[0]).toBe((steps(first.lines).at(-1) as number) + 1);
});
