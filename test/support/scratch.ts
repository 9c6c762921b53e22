import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** An empty directory of this test alone, removed when the test ends. */
export function scratchDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "tailrace-test-"));
  // A process that was killed may still be writing its last.
  onTestFinished(() => rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));
  return path;
}
