import { describe } from "vitest";
import type { Implementation } from "./harness.ts";
import { appendSuite } from "./suite/append.ts";
import { followSuite } from "./suite/follow.ts";
import { holdSuite } from "./suite/hold.ts";
import { jobRetentionSuite } from "./suite/job-retention.ts";
import { jobsSuite } from "./suite/jobs.ts";
import { modelSuite } from "./suite/model.ts";
import { readSuite } from "./suite/read.ts";
import { restartSuite } from "./suite/restart.ts";
import { retentionSuite } from "./suite/retention.ts";
import { seekSuite } from "./suite/seek.ts";
import { stateSuite } from "./suite/state.ts";

/** What every log promises (src/log/contract.ts), proved of one implementation. */
export function logSuite(implementation: Implementation): void {
  describe(`${implementation.name} log`, () => {
    appendSuite(implementation);
    readSuite(implementation);
    seekSuite(implementation);
    retentionSuite(implementation);
    jobsSuite(implementation);
    jobRetentionSuite(implementation);
    holdSuite(implementation);
    stateSuite(implementation);
    followSuite(implementation);
    restartSuite(implementation);
    modelSuite(implementation);
  });
}
