import { availableParallelism } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Processes, not threads: tests send signals, change the environment and open logs that lock.
    pool: "forks",
    // By default one core is left free, which of two is half; the files wait about as long as they work.
    maxWorkers: availableParallelism(),
    // Processes that tests start compile some hundred files each, which is most of what they do.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/compiled") },
    globalSetup: ["./test/support/pinned-node.ts"],
    // Only what hangs runs into these: a loaded machine takes many times as long as an idle one.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 60_000,
    // A focused test or an empty run would pass without having looked.
    allowOnly: false,
    passWithNoTests: false,
    restoreMocks: true,
    unstubEnvs: true,
    unstubGlobals: true,
  },
});
