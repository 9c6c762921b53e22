import { rmSync } from "node:fs";
import { join } from "node:path";
import { openEmbeddedLog } from "../../../src/log/embedded/index.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import type { Implementation } from "../harness.ts";
import { logSuite } from "../suite.ts";

for (const durability of ["fsync", "process"] as const) {
  const embedded: Implementation = {
    name: `embedded (${durability})`,
    create() {
      const directory = join(scratchDirectory(), "data");
      return {
        open: (options) => openEmbeddedLog({ directory, durability, ...options }),
        wipe: async () => rmSync(join(directory, "log"), { recursive: true }),
        durable: true,
      };
    },
  };
  logSuite(embedded);
}
