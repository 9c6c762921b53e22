import { describe } from "vitest";
import { bookmarkSuite } from "./suite/bookmarks.ts";
import { callSuite } from "./suite/calls.ts";
import { contentSuite } from "./suite/contents.ts";
import { cursorSuite } from "./suite/cursors.ts";
import { deliverySuite } from "./suite/delivery.ts";
import { diagnosticsSuite } from "./suite/diagnostics.ts";
import { doorSuite } from "./suite/doors.ts";
import { endingsSuite } from "./suite/endings.ts";
import { jobEndSuite } from "./suite/job-ends.ts";
import { jobSuite } from "./suite/jobs.ts";
import { outageSuite } from "./suite/outages.ts";
import { pageSuite } from "./suite/pages.ts";
import { resumeSuite } from "./suite/resume.ts";
import { retentionSuite } from "./suite/retention.ts";
import type { LogUnderTest } from "./world.ts";

/** Holds every edge of a server over one kind of log against the protocol (docs/protocol.md). */
export function protocolSuite(logs: LogUnderTest): void {
  describe(`over the ${logs.name} log`, () => {
    deliverySuite(logs);
    resumeSuite(logs);
    bookmarkSuite(logs);
    retentionSuite(logs);
    diagnosticsSuite(logs);
    endingsSuite(logs);
    outageSuite(logs);
    cursorSuite(logs);
    callSuite(logs);
    doorSuite(logs);
    contentSuite(logs);
    pageSuite(logs);
    jobSuite(logs);
    jobEndSuite(logs);
  });
}
