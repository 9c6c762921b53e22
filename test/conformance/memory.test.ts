import { MemoryLog } from "../../src/log/memory/index.ts";
import { protocolSuite } from "./suite.ts";

protocolSuite({ name: "memory", open: async (options) => new MemoryLog(options) });
