import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { killGroup } from "../../support/processes.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { entry, type ServeProcess, type Started, startServe, tailrace } from "../support.ts";

/** Starts `tailrace serve` with operations. What a script in one of them needs to use our own command line is in its environment. */
export async function serveOperations(
  operations: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  args: readonly string[] = ["--listen", "127.0.0.1:0", "--log", "memory"],
): Promise<ServeProcess> {
  return startServe(["--config", configOf(operations), ...args]);
}

/** A configuration file with operations. */
export function configOf(operations: Readonly<Record<string, Readonly<Record<string, unknown>>>>): string {
  const config = join(scratchDirectory(), "tailrace.json");
  const env = { NODE: process.execPath, TAILRACE: entry };
  const withEnv = Object.entries(operations).map(([name, operation]) => [name, { env, ...operation }]);
  writeFileSync(config, JSON.stringify({ operations: Object.fromEntries(withEnv) }));
  return config;
}

/** An operation whose command is a bash script; `more` are other keys of it. */
export function bash(script: string, more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return { command: ["bash", "-c", script.replaceAll("{", "{{").replaceAll("}", "}}")], ...more };
}

/** What `tailrace job ID --json` says. */
export async function jobOf(server: string, jobId: string): Promise<Record<string, unknown>> {
  const shown = tailrace(["job", jobId, "--json", "--server", server]);
  const code = await shown.ended;
  if (code !== 0) throw new Error(`tailrace job ended with ${code}: ${shown.stderr}`);
  return JSON.parse(shown.stdout.toString()) as Record<string, unknown>;
}

/** Ids of the processes whose command line holds a text. */
export function processesThatName(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => commandLineOf(pid).includes(text));
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // Gone since the directory was read.
    return "";
  }
}

/** Starts `tailrace submit`. */
export const submit = (server: string, ...args: string[]) => tailrace(["submit", "--server", server, ...args]);

/** The group of a job's command, which its script says as "group $$". */
export async function groupOf(following: Started): Promise<number> {
  const [, group] = await following.until("stdout", /^group (\d+)\n/m);
  const id = Number(group);
  onTestFinished(() => killGroup(id));
  return id;
}

/** The id that it says. */
export async function idOf(following: Started): Promise<string> {
  const [, id] = await following.until("stderr", /^tailrace: job (\S+)\n/m);
  return id as string;
}

/** Never ends by itself, and not by SIGTERM either. */
export const stubborn = 'trap "" TERM; echo group $$; sleep 1000 & sleep 1000';
