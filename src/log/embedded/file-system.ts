import * as fs from "node:fs";
import { dirname } from "node:path";

/** A file that is open for reading and writing. Failures are the system's errors, with their `code`. */
export interface LogFile {
  /** Writes all of `bytes`; partly written bytes may remain when it fails. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Fills `target` from `position`; gives how much there was. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Settles when what was written survives the loss of power. */
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** What the log wants from a file system, so that tests can put failures in. */
export interface FileSystem {
  /** Opens an existing file, or with `create` makes an empty one. */
  open(path: string, create?: boolean): Promise<LogFile>;
  readFile(path: string): Promise<Uint8Array>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Names in a directory. */
  list(path: string): Promise<string[]>;
  makeDirectory(path: string): Promise<void>;
  /** Settles when names that were added to or removed from a directory survive the loss of power. */
  syncDirectory(path: string): Promise<void>;
  /** Fails if the directory can't be written to. */
  checkWritable(path: string): Promise<void>;
  /** When a file was created, in nanoseconds; undefined where the system does not know. */
  birthTime(path: string): Promise<string | undefined>;
}

/** Bytes that one read or write takes at the most. */
const maxTransferBytes = 1 << 30;

class NodeFile implements LogFile {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      done += await this.#write(bytes, done, Math.min(maxTransferBytes, bytes.length - done), position + done);
    }
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const count = await this.#read(target, done, Math.min(maxTransferBytes, target.length - done), position + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  datasync(): Promise<void> {
    return new Promise((resolve, reject) => fs.fdatasync(this.#descriptor, settle(resolve, reject)));
  }

  truncate(length: number): Promise<void> {
    return new Promise((resolve, reject) => fs.ftruncate(this.#descriptor, length, settle(resolve, reject)));
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.fstat(this.#descriptor, (error, stats) => (error === null ? resolve(stats.size) : reject(error))),
    );
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => fs.close(this.#descriptor, settle(resolve, reject)));
  }

  #write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.write(this.#descriptor, bytes, offset, length, position, (error, written) =>
        error === null ? resolve(written) : reject(error),
      ),
    );
  }

  #read(target: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.read(this.#descriptor, target, offset, length, position, (error, count) =>
        error === null ? resolve(count) : reject(error),
      ),
    );
  }
}

async function makeOneDirectory(path: string): Promise<void> {
  try {
    await fs.promises.mkdir(path);
  } catch (error) {
    const isThere = (await fs.promises.stat(path).catch(() => undefined))?.isDirectory();
    if (!isThere) throw error;
  }
}

export const nodeFileSystem: FileSystem = {
  open: (path, create = false) =>
    new Promise((resolve, reject) =>
      fs.open(path, create ? "w+" : "r+", 0o600, (error, descriptor) =>
        error === null ? resolve(new NodeFile(descriptor)) : reject(error),
      ),
    ),
  readFile: (path) => fs.promises.readFile(path),
  rename: (from, to) => fs.promises.rename(from, to),
  remove: (path) => fs.promises.unlink(path),
  list: (path) => fs.promises.readdir(path),
  async makeDirectory(path) {
    // Step by step: a recursive mkdir says ENOENT where the system would say that it is read-only.
    try {
      await makeOneDirectory(path);
    } catch (error) {
      if (codeOf(error) !== "ENOENT" || dirname(path) === path) throw error;
      await nodeFileSystem.makeDirectory(dirname(path));
      // Once only: there are file systems that say ENOENT though the parent exists.
      await makeOneDirectory(path);
    }
  },
  async syncDirectory(path) {
    const directory = await fs.promises.open(path, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  checkWritable: (path) => fs.promises.access(path, fs.constants.W_OK | fs.constants.X_OK),
  async birthTime(path) {
    const before = await fs.promises.stat(path, { bigint: true });
    // Systems that keep no birth time report the change time instead, which this moves on.
    await fs.promises.utimes(path, new Date(), new Date());
    const { birthtimeNs, ctimeNs } = await fs.promises.stat(path, { bigint: true });
    const isKept = birthtimeNs > 0n && birthtimeNs !== ctimeNs && birthtimeNs === before.birthtimeNs;
    return isKept ? String(birthtimeNs) : undefined;
  },
};

/** The `code` of a system error; empty if it is none. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** Whether there is no room for more, which passes, unlike a broken disk. */
export function isFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT", "EFBIG"].includes(codeOf(error));
}

function settle(resolve: () => void, reject: (error: Error) => void): (error: Error | null) => void {
  return (error) => (error === null ? resolve() : reject(error));
}
