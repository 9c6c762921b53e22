import { TailraceError } from "../base/errors.ts";
import { exitCodeOf, exitCodes } from "./exit-codes.ts";

/** Writes a line of our own to stderr, where it never mixes with what a command prints for programs. */
export function say(line: string): void {
  process.stderr.write(`tailrace: ${line}\n`);
}

/**
 * Tells what went wrong, in one line where the user can do something about it, and gives the exit code. A stack is only
 * for faults of ours.
 */
export function reportError(error: unknown): number {
  if (error instanceof TailraceError || isSystemError(error)) {
    say(error.message);
    return exitCodeOf(error);
  }
  say("an unexpected fault; please report it with what follows.");
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return exitCodes.failed;
}

/** Whether the operating system refused something: a file, a port, a process. Its message names what. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === "string";
}
