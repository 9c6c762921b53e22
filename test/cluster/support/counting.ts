import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { vi } from "vitest";
import { scratchDirectory } from "../../support/scratch.ts";
import { until } from "../../support/until.ts";
import { type Counts, countsSignal, countsVariable } from "./counts.ts";

/** Has servers that the test starts from now on count, and gives how to ask one of them. */
export function countingServers(): (pid: number) => Promise<Counts> {
  const directory = scratchDirectory();
  const probe = pathToFileURL(join(import.meta.dirname, "counts-probe.ts")).href;
  vi.stubEnv(countsVariable, directory);
  vi.stubEnv("NODE_OPTIONS", `--import ${probe}`);
  return async (pid) => {
    const file = join(directory, `${pid}.json`);
    rmSync(file, { force: true });
    process.kill(pid, countsSignal);
    await until(() => existsSync(file), `process ${pid} to say what it counts`);
    return JSON.parse(readFileSync(file, "utf8"));
  };
}
