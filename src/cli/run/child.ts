import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { Readable } from "node:stream";
import { makePipes, type Pipe, readPipe } from "./pipes.ts";

/** How a command ended. */
export type CommandEnd =
  | { readonly kind: "exited"; readonly exitCode: number }
  | { readonly kind: "killed"; readonly signal: NodeJS.Signals }
  | { readonly kind: "not_started"; readonly reason: "not_found" | "not_executable"; readonly message: string };

/** A command that was started. */
export interface Child {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles when the command itself has ended. What it started may go on and still hold its output. */
  readonly ended: Promise<CommandEnd>;
  /** Passes a signal on to the command and what it started. */
  forward(signal: NodeJS.Signals): void;
}

/**
 * Starts a command with our stdin and environment. With a terminal as stdin it stays in our process group: it can read from
 * the terminal, which sends its Ctrl-C to the whole group by itself. Without one it leads a group of its own, so that a
 * signal reaches all that it started and nothing else.
 */
export async function startChild(file: string, args: readonly string[]): Promise<Child> {
  const sharesTerminal = process.stdin.isTTY === true;
  // A system without mkfifo: the command gets sockets, which only those that open /dev/stdout notice.
  const pipes = await makePipes(2).catch((): Pipe[] => []);
  const [out, err] = pipes;
  const child = spawnOrFailure(file, args, {
    stdio: ["inherit", out?.writeEnd ?? "pipe", err?.writeEnd ?? "pipe"],
    detached: !sharesTerminal,
  });
  const ended = child instanceof Error ? Promise.resolve(notStarted(child)) : endOf(child);
  for (const pipe of pipes) closeSync(pipe.writeEnd);
  if (child instanceof Error) {
    for (const pipe of pipes) closeSync(pipe.readEnd);
    return { stdout: Readable.from([]), stderr: Readable.from([]), ended, forward: () => undefined };
  }
  return {
    stdout: out === undefined ? (child.stdout as Readable) : readPipe(out),
    stderr: err === undefined ? (child.stderr as Readable) : readPipe(err),
    ended,
    forward(signal) {
      if (sharesTerminal && (signal === "SIGINT" || signal === "SIGQUIT")) return;
      if (child.pid === undefined) return;
      try {
        process.kill(sharesTerminal ? child.pid : -child.pid, signal);
      } catch (error) {
        // Gone meanwhile, or become another user.
        if (!["ESRCH", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
      }
    },
  };
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
