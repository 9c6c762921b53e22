import { execFile } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { startGuard } from "./guard.ts";

const lookEveryMs = 20;

/**
 * A FIFO in the data directory that the guard of the server's commands has open. Whether someone has it open is what the
 * system knows, so a guard that ended by whatever cause can't be taken for one that lives, as with a process id in a file.
 */
function fifoIn(directory: string): string {
  return join(directory, "commands.fifo");
}

/**
 * Waits until the commands have ended that a server on this directory left behind when it was killed: until then their jobs
 * have not ended. The caller has the lock of the log. `onWait` is called if there is something to wait for.
 * @throws the reason of `signal` if it aborts meanwhile.
 */
export async function earlierCommandsEnded(directory: string, onWait: () => void, signal?: AbortSignal): Promise<void> {
  const path = fifoIn(directory);
  for (let waits = false; isHeld(path); waits = true) {
    if (!waits) onWait();
    signal?.throwIfAborted();
    await delay(lookEveryMs);
  }
  rmSync(path, { force: true });
}

/** Starts the guard of this server's commands so that the next server on the directory can wait for it. */
export async function startGuardIn(directory: string): Promise<void> {
  const path = fifoIn(directory);
  let fd: number;
  try {
    await promisify(execFile)("mkfifo", ["-m", "600", path]);
    // For reading, since that alone waits for nobody.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    // This system or file system has none: the next server can't know.
    startGuard();
    return;
  }
  startGuard({ path, fd });
  closeSync(fd);
}

function isHeld(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    // There is none, or nobody reads it.
    if (["ENOENT", "ENXIO"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
  try {
    // A copy of the directory may have made a plain file of it.
    return fstatSync(fd).isFIFO();
  } finally {
    closeSync(fd);
  }
}
