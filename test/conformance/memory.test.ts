import { MemoryLog } from "../../src/log/memory/index.ts";
import { overwritingLog } from "../support/overwriting-log.ts";
import { protocolSuite } from "./suite.ts";

protocolSuite({ name: "memory", open: async (options) => overwritingLog(new MemoryLog(options)) });
