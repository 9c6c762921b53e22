import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { onTestFinished } from "vitest";

const root = join(import.meta.dirname, "../..");
const doors = { tailrace: "index.ts", "tailrace/client": "client/index.ts", "tailrace/server": "server/index.ts" };

/** A page of the documentation, by its path from the root. */
export function readPage(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/**
 * Writes the files of a page (blocks with `file=NAME`) to a directory, with the package's doors replaced by their sources, as
 * modules that Node runs. Returns their names, in the order of the page.
 */
export function writeFilesOf(page: string, directory: string): string[] {
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');
  return [...page.matchAll(/^```\w+ file=(\S+)\n([\s\S]*?)^```$/gm)].map(([, name, content]) => {
    let source = content as string;
    for (const [door, file] of Object.entries(doors)) {
      source = source.replaceAll(`from "${door}"`, `from "${pathToFileURL(join(root, "src", file)).href}"`);
    }
    writeFileSync(join(directory, name as string), source);
    return name as string;
  });
}

/** Runs one of those files until the test is over: what it printed, line by line, and its exit code once its pipes are read. */
export function runFile(directory: string, name: string, env: Record<string, string>) {
  const child: ChildProcess = spawn(process.execPath, [name], {
    cwd: directory,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  const errors: string[] = [];
  if (child.stdout !== null) createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", (line) => errors.push(line));
  // Not "exit": what it wrote last may still be in its pipes then.
  const closed = once(child, "close").then(([code]) => code as number | null);
  return {
    lines,
    errors,
    closed,
    kill(signal: NodeJS.Signals): Promise<number | null> {
      child.kill(signal);
      return closed;
    },
  };
}
