import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** Runs once before all tests: ends the run with a clear message on a Node that the checkout does not pin. */
export default function requirePinnedNode(): void {
  const entry = join(import.meta.dirname, "../../scripts/entry.js");
  const { status, stderr } = spawnSync(process.execPath, [entry], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}
