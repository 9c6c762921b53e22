import { onTestFinished } from "vitest";
import { limits } from "../../src/base/limits.ts";

/** Lowers a limit until the test ends, where meeting the real one would take more than a test has. */
export function setLimit(name: keyof typeof limits, value: number): void {
  const values: Record<string, number> = limits;
  const before = limits[name];
  values[name] = value;
  onTestFinished(() => {
    values[name] = before;
  });
}
