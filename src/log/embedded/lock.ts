import { createRequire } from "node:module";
import type { DatabaseSync } from "node:sqlite";
import { openFailed } from "./open-errors.ts";

const lockedCode = 5;
const readOnlyCode = 8;
const fullCode = 13;
const cannotOpenCode = 14;
const notADatabaseCode = 26;

/** Held while a process has the log open. The system gives it back when the process dies, however it dies. */
export interface Lock {
  release(): void;
}

/**
 * Takes the lock of a log. SQLite is used for nothing else: it knows how to lock a file on every platform.
 * @throws TailraceError `log_open_failed`, cause `locked` if another process, or this one, has the log open.
 */
export function takeLock(path: string, directory: string): Lock {
  // Loaded when it is needed, so that memory logs work where Node was built without it.
  const sqlite = createRequire(import.meta.url)("node:sqlite") as typeof import("node:sqlite");
  let database: DatabaseSync | undefined;
  try {
    database = new sqlite.DatabaseSync(path, { timeout: 0 });
    database.exec("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE");
    const held = database;
    return { release: () => held.close() };
  } catch (error) {
    database?.close();
    throw lockError(directory, path, error);
  }
}

function lockError(directory: string, path: string, error: unknown): Error {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
  switch (code) {
    case lockedCode:
      return openFailed(
        "locked",
        `The log in ${directory} is open already, here or in another process. Close it there, or choose another directory.`,
        error,
      );
    case readOnlyCode:
    case cannotOpenCode:
      return openFailed(
        "read_only",
        `${path} can't be written to. Give this user the right to write in the directory of the log, or choose another.`,
        error,
      );
    case fullCode:
      return openFailed(
        "full",
        `There is no room left for the log in ${directory}. Free some space and open it again.`,
        error,
      );
    case notADatabaseCode:
      return openFailed(
        "corrupt",
        `${path} is damaged. It holds nothing but the lock: remove it and open the log again.`,
        error,
      );
    default:
      return openFailed(
        "io",
        `${path} can't be locked: ${error instanceof Error ? error.message : String(error)}.`,
        error,
      );
  }
}
