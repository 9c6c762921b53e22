import { MemoryLog } from "../../src/log/memory/index.ts";
import type { Implementation } from "./harness.ts";
import { logSuite } from "./suite.ts";

const memory: Implementation = {
  name: "memory",
  create: () => ({ open: async (options) => new MemoryLog(options), wipe: undefined, durable: false }),
};

logSuite(memory);
