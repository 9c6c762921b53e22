import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/**
 * An empty directory of this test alone, removed when the test ends.
 * @param atEnd that of the test's context, where tests run at the same time.
 */
export function scratchDirectory(atEnd = onTestFinished): string {
  const path = mkdtempSync(join(tmpdir(), "tailrace-test-"));
  // A process that was killed may still be writing its last.
  atEnd(() => rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));
  return path;
}
