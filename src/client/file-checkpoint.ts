import { open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { limits } from "../base/limits.ts";
import { decodeCursor } from "../events/cursor.ts";
import type { Checkpoint } from "./checkpoint.ts";

/** Characters of the longest cursor, which is one of a relay over many runtimes. */
const maxLength = 4_096;

/**
 * A checkpoint in a file of its own (Node only). It is replaced as a whole, so that a crash leaves the old position or the
 * new one, never half of one. One watch per file.
 */
export function fileCheckpoint(path: string): Checkpoint {
  const temporary = `${path}.tmp`;
  return {
    async load() {
      const text = await readStart(path);
      if (text === undefined || text.trim() === "") return undefined;
      const cursor = text.trim();
      // Anything else would go to the server as a cursor: a file named by mistake must not travel.
      if (cursor.length <= limits.maxCursorLength || !/^[\w.~-]+$/.test(cursor) || cursor.length > maxLength) {
        decodeCursor(cursor);
      }
      return cursor;
    },
    async save(cursor) {
      const file = await open(temporary, "w", 0o600);
      try {
        await file.writeFile(`${cursor}\n`);
        await file.datasync();
      } finally {
        await file.close();
      }
      try {
        await rename(temporary, path);
      } catch (error) {
        await unlink(temporary).catch(() => undefined);
        throw error;
      }
      await syncDirectory(dirname(path));
    },
  };
}

/** The beginning of the file, long enough for any cursor; undefined: there is no file. */
async function readStart(path: string): Promise<string | undefined> {
  const file = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const buffer = Buffer.alloc(maxLength + 2);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Without it a loss of power may undo the rename. Not every system lets a directory be opened. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r").catch(() => undefined);
  if (directory === undefined) return;
  try {
    await directory.sync();
  } catch {
    // Some file systems can't sync a directory; the rename itself is still atomic.
  } finally {
    await directory.close();
  }
}
