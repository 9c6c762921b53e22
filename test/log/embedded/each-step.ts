import { join } from "node:path";
import { expect } from "vitest";
import type { FileSystem } from "../../../src/log/embedded/file-system.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { hookedFileSystem, systemError } from "./hooked-file-system.ts";

/** Lives at once: each has a directory of its own, and waits for its disk most of the time. */
const together = 6;

/**
 * Lives through a log again and again, each time with another step of giving space back from which on every one fails, as if
 * the process had ended there, until there are no more steps. A life says when steps begin to count.
 */
export async function endAtEachStep(
  live: (directory: string, fileSystem: FileSystem, begin: () => void) => Promise<void>,
): Promise<void> {
  const base = scratchDirectory();
  /** False: there are not that many steps. */
  const endsAt = async (failing: number): Promise<boolean> => {
    let step = 0;
    let counts = false;
    const fileSystem = hookedFileSystem((operation, name) => {
      const belongs = name.endsWith(".tmp") || ["rename", "remove", "syncDirectory"].includes(operation);
      if (!counts || !belongs || name.startsWith("identity")) return;
      if (++step >= failing) throw systemError("EIO");
    });
    await live(join(base, `data${failing}`), fileSystem, () => {
      counts = true;
    });
    return step >= failing;
  };
  for (let first = 1; ; first += together) {
    const steps = Array.from({ length: together }, (_, i) => first + i);
    const ended = await Promise.all(steps.map(endsAt));
    // Where nothing could fail, nothing was tried.
    expect(ended[0] || first > 1).toBe(true);
    if (ended.includes(false)) break;
    expect(first).toBeLessThan(100);
  }
}
