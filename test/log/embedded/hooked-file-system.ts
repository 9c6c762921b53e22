import { basename } from "node:path";
import { type FileSystem, type LogFile, nodeFileSystem } from "../../../src/log/embedded/file-system.ts";

export type Operation = "open" | "write" | "read" | "datasync" | "truncate" | "rename" | "remove" | "syncDirectory";

/** A file system that asks before everything it does: the hook throws what the system would, or holds things up. */
export function hookedFileSystem(hook: (operation: Operation, name: string) => void | Promise<void>): FileSystem {
  return {
    ...nodeFileSystem,
    async open(path, create) {
      const name = basename(path);
      await hook("open", name);
      return hookedFile(await nodeFileSystem.open(path, create), name, hook);
    },
    async rename(from, to) {
      await hook("rename", basename(to));
      await nodeFileSystem.rename(from, to);
    },
    async remove(path) {
      await hook("remove", basename(path));
      await nodeFileSystem.remove(path);
    },
    async syncDirectory(path) {
      await hook("syncDirectory", basename(path));
      await nodeFileSystem.syncDirectory(path);
    },
  };
}

function hookedFile(
  file: LogFile,
  name: string,
  hook: (operation: Operation, name: string) => void | Promise<void>,
): LogFile {
  return {
    async write(bytes, position) {
      try {
        await hook("write", name);
      } catch (error) {
        // A disk that is full takes what still fits.
        await file.write(bytes.subarray(0, bytes.length >>> 1), position);
        throw error;
      }
      await file.write(bytes, position);
    },
    async read(target, position) {
      await hook("read", name);
      return file.read(target, position);
    },
    async datasync() {
      await hook("datasync", name);
      await file.datasync();
    },
    async truncate(length) {
      await hook("truncate", name);
      await file.truncate(length);
    },
    size: () => file.size(),
    close: () => file.close(),
  };
}

/** The error that the system gives with this code. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}
