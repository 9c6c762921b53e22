import { execFile } from "node:child_process";
import { constants, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** File descriptors of a pipe: the end that a command gets, and the end that is read here. */
export interface Pipe {
  /** File descriptor for the command. Close it once the command has its own: else the pipe never ends. */
  readonly writeEnd: number;
  readonly readEnd: number;
}

/** Reads a pipe. It begins at once, so whoever wants to know of its end listens in the same turn. */
export function readPipe(pipe: Pipe): Socket {
  return new Socket({ fd: pipe.readEnd, readable: true, writable: false });
}

/**
 * Makes pipes. Node connects a child's stdout by a socket, and a command that opens /dev/stdout or /dev/stderr by name
 * then fails ("No such device or address"). Node has no pipe(2), so each pipe is a FIFO that loses its name at once.
 * @throws if this system has no mkfifo.
 */
export async function makePipes(count: number): Promise<Pipe[]> {
  const directory = await mkdtemp(join(tmpdir(), "tailrace-run-"));
  try {
    const paths = Array.from({ length: count }, (_, index) => join(directory, `pipe-${index}`));
    await promisify(execFile)("mkfifo", ["-m", "600", ...paths]);
    return paths.map(openPipe);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function openPipe(path: string): Pipe {
  // Plain descriptors: a FileHandle that nobody holds closes its own. Our end first and non-blocking, since either end
  // alone would wait for the other.
  const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeEnd = openSync(path, constants.O_WRONLY);
  return { readEnd, writeEnd };
}
