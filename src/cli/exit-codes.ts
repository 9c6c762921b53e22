import { type Reason, TailraceError } from "../base/errors.ts";

/** Exit codes of every command, for scripts. `tailrace run` ends with its command's own instead. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  /** The arguments, the configuration or the input make no sense. */
  usage: 2,
  /** The cursor can't be resumed: what came after it is no longer there. */
  cursorGone: 3,
  /** No server answers, it went away before the answer, or it does not take a job (`tailrace submit`, whose 1 is the job's). */
  unreachable: 4,
  /** A job that `tailrace submit` follows ran out of time: as timeout(1) has it. */
  timedOut: 124,
  /** A command that `tailrace run` was given can't be executed, and one that does not exist: as shells have it. */
  notExecutable: 126,
  notFound: 127,
  /** Added to the number of a signal that ended a command. */
  signalBase: 128,
  /** Ended by Ctrl-C, or a job that `tailrace submit` follows was cancelled. */
  interrupted: 130,
} as const;

const byReason: Partial<Record<Reason, number>> = {
  invalid_request: exitCodes.usage,
  cursor_malformed: exitCodes.usage,
  cursor_unknown: exitCodes.cursorGone,
  cursor_expired: exitCodes.cursorGone,
  log_unavailable: exitCodes.unreachable,
  server_closing: exitCodes.unreachable,
  connection_failed: exitCodes.unreachable,
};

/** The exit code that an error ends a command with: the one mapping for the command line. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof TailraceError)) return exitCodes.failed;
  return byReason[(error as TailraceError).reason] ?? exitCodes.failed;
}
