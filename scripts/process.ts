import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** Root of the checkout. */
export const checkout = join(import.meta.dirname, "..");

export interface RunOptions {
  /** Directory to run in; default: the checkout. */
  cwd?: string;
  env?: NodeJS.ProcessEnv;
}

/** Runs a command with our own stdout and stderr, no shell and no stdin. Returns its exit status; a signal counts as 1. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<number> {
  const child = spawn(command, args, {
    cwd: options.cwd ?? checkout,
    env: options.env ?? process.env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const [status] = (await once(child, "exit")) as [number | null];
  return status ?? 1;
}

/** What a command writes to stdout. Throws if it fails, with what it wrote to stderr. */
export async function output(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const child = spawn(command, args, {
    cwd: options.cwd ?? checkout,
    env: options.env ?? process.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  const [status] = (await once(child, "close")) as [number | null];
  if (status !== 0) {
    throw new Error(`${command} ${args.join(" ")} ended with ${status}:\n${Buffer.concat([...stdout, ...stderr])}`);
  }
  return Buffer.concat(stdout).toString();
}
