import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { Readable } from "node:stream";
import { makePipes, type Pipe, readPipe } from "./pipes.ts";

/** How a command ended. */
export type CommandEnd =
  | { readonly kind: "exited"; readonly exitCode: number }
  | { readonly kind: "killed"; readonly signal: NodeJS.Signals }
  | { readonly kind: "not_started"; readonly reason: "not_found" | "not_executable"; readonly message: string };

/** How a command is started. */
export interface StartOptions {
  /** Directory that it runs in. Default: ours. */
  readonly cwd?: string;
  /** Its whole environment. Default: ours. */
  readonly env?: NodeJS.ProcessEnv;
  /** What it reads: our own stdin, or nothing. */
  readonly stdin: "inherit" | "ignore";
  /** Whether it leads a process group of its own. */
  readonly ownGroup: boolean;
}

/** A command that was started. */
export interface Child {
  /** Its process id, which is that of its group too if it leads one; undefined: it could not be started. */
  readonly pid: number | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles when the command itself has ended. What it started may go on and still hold its output. */
  readonly ended: Promise<CommandEnd>;
}

/** Starts a command. What is wrong with it shows in `ended`. */
export async function startChild(file: string, args: readonly string[], options: StartOptions): Promise<Child> {
  const { stdin, ownGroup, ...where } = options;
  // A system without mkfifo: the command gets sockets, which only those that open /dev/stdout notice.
  const pipes = await makePipes(2).catch((): Pipe[] => []);
  const [out, err] = pipes;
  const child = spawnOrFailure(file, args, {
    ...where,
    stdio: [stdin, out?.writeEnd ?? "pipe", err?.writeEnd ?? "pipe"],
    detached: ownGroup,
  });
  const ended = child instanceof Error ? Promise.resolve(notStarted(child)) : endOf(child);
  for (const pipe of pipes) closeSync(pipe.writeEnd);
  if (child instanceof Error) {
    for (const pipe of pipes) closeSync(pipe.readEnd);
    return { pid: undefined, stdout: Readable.from([]), stderr: Readable.from([]), ended };
  }
  return {
    pid: child.pid,
    stdout: out === undefined ? (child.stdout as Readable) : readPipe(out),
    stderr: err === undefined ? (child.stderr as Readable) : readPipe(err),
    ended,
  };
}

/** Sends a signal to a process, or with a negative number to a group. False: there is nothing to send it to. */
export function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    // Gone meanwhile, or become another user.
    if (!["ESRCH", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function endOf(child: ChildProcess): Promise<CommandEnd> {
  return new Promise((resolve) => {
    child.once("exit", (exitCode, signal) => {
      resolve(signal === null ? { kind: "exited", exitCode: exitCode ?? 0 } : { kind: "killed", signal });
    });
    child.once("error", (error) => resolve(notStarted(error)));
  });
}

/** Node throws some failures and emits others. */
function spawnOrFailure(file: string, args: readonly string[], options: SpawnOptions): ChildProcess | Error {
  try {
    return spawn(file, [...args], options);
  } catch (error) {
    return error as Error;
  }
}

function notStarted(error: NodeJS.ErrnoException): CommandEnd {
  return error.code === "ENOENT"
    ? { kind: "not_started", reason: "not_found", message: "command not found" }
    : { kind: "not_started", reason: "not_executable", message: startFailure(error) };
}

function startFailure(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "EACCES":
      return "permission denied";
    case "ENOEXEC":
      return "not a program that this machine can execute";
    case "E2BIG":
      return "the arguments are too long";
    default:
      return `can't be started (${error.code ?? error.message})`;
  }
}
