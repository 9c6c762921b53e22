import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** An empty directory of this test alone, removed when the test ends. */
export function scratchDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "tailrace-test-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
