import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { protocolSuite } from "./suite.ts";

// What survives a loss of power is for the log's own tests: here every wait for a disk would be paid on every edge.
protocolSuite({
  name: "embedded",
  open: (options) => openEmbeddedLog({ directory: scratchDirectory(), durability: "process", ...options }),
});
