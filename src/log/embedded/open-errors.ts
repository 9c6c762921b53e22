import { type ProblemDetails, TailraceError } from "../../base/errors.ts";
import { codeOf, isFull } from "./file-system.ts";

type Cause = ProblemDetails["log_open_failed"]["cause"];

export function openFailed(cause: Cause, message: string, error?: unknown): TailraceError<"log_open_failed"> {
  return new TailraceError("log_open_failed", { cause }, message, error === undefined ? {} : { cause: error });
}

/** A file says something that no release wrote. */
export function corrupt(path: string, offset: number, what: string): TailraceError<"log_open_failed"> {
  return openFailed(
    "corrupt",
    `${path} is damaged at byte ${offset}: ${what}. Restore the directory from a backup, or move it away to start with an empty log.`,
  );
}

/** A file is of a release that this one can't read. */
export function newerFormat(path: string, version: number, known: number): TailraceError<"log_open_failed"> {
  return openFailed(
    "newer_format",
    `${path} has format ${version}; this release reads up to ${known}. Open it with the release that wrote it, or a newer one.`,
  );
}

/** What a failure of the system, met while opening, means to the operator. */
export function openErrorOf(directory: string, error: unknown): TailraceError {
  if (error instanceof TailraceError) return error;
  if (isFull(error)) {
    return openFailed(
      "full",
      `There is no room left for the log in ${directory}. Free some space and open it again.`,
      error,
    );
  }
  const code = codeOf(error);
  if (["EROFS", "EACCES", "EPERM"].includes(code)) {
    return openFailed(
      "read_only",
      `The log in ${directory} can't be written to (${code}). Give this user the right to write there, or choose another directory.`,
      error,
    );
  }
  if (code === "ENOTDIR" || code === "EEXIST") {
    return openFailed("not_a_log", `${directory} is no directory. Choose an empty or a new one for the log.`, error);
  }
  const detail = error instanceof Error ? error.message : String(error);
  return openFailed("io", `The log in ${directory} can't be opened: ${detail}.`, error);
}
