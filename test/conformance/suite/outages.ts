import { describe, expect, it } from "vitest";
import { Severity } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import { limits } from "../../../src/base/limits.ts";
import { decodeCursor } from "../../../src/events/cursor.ts";
import { edges } from "../edges/index.ts";
import { expectReturn, passing, serveFaulty } from "../faulty-world.ts";
import { secretOfTheHost } from "../refusals.ts";
import { resumeFrom, view } from "../viewer.ts";
import { type LogUnderTest, publishIds } from "../world.ts";

/** What live watches, publishers and balancers are told while the log says that it can't be used. */
export function outageSuite(logs: LogUnderTest): void {
  describe.each(edges)("an outage of the log over $name", (edge) => {
    it("is told to a live watch as a notice, and after it the watch is live again, with what came since", async () => {
      const { url, runtime, log, clock, unavailable } = await serveFaulty(logs);
      const viewer = await view(edge, url).live();
      log.say(unavailable());
      const notice = await viewer.diagnostic("logUnavailable");
      expect(notice.severity).toBe(Severity.NOTICE);
      expect(JSON.stringify(notice.message)).not.toContain(secretOfTheHost);
      const head = runtime.log.bounds({ kind: "runtime" }).head;
      expect(decodeCursor(notice.cursor)).toMatchObject({ closing: false, position: { sequence: head.sequence } });
      await expect(publishIds(runtime, "w", ["refused"])).rejects.toMatchObject({ reason: "log_unavailable" });
      log.say(undefined);
      await passing(clock, viewer.live());
      await publishIds(runtime, "w", ["back"]);
      await passing(clock, viewer.until(viewer.events.length + 1));
      expect(viewer.ids).toEqual(["read", "unread", "back"]);
      expect(viewer.diagnostics.map(({ reason }) => reason.case)).toEqual(["caughtUp", "logUnavailable", "caughtUp"]);
    });

    it("ends a live watch after 30 s, with a cursor to come back with, also before it is over", async () => {
      const { url, runtime, log, clock, unavailable } = await serveFaulty(logs);
      const viewer = await view(edge, url).live();
      log.say(unavailable());
      await viewer.diagnostic("logUnavailable");
      const began = clock.now();
      expectReturn(viewer, "logUnavailable", await passing(clock, viewer.end()));
      expect(clock.now() - began).toBeGreaterThanOrEqual(limits.logUnavailableMs - limits.logRetryMs);
      const back = view(edge, url, resumeFrom(viewer.cursor));
      await back.diagnostic("logUnavailable");
      log.say(undefined);
      await passing(clock, back.live());
      await publishIds(runtime, "w", ["back"]);
      await passing(clock, back.until(1));
      expect(back.ids).toEqual(["back"]);
    });

    it("that is for good ends a watch at once", async () => {
      const { url, log, unavailable } = await serveFaulty(logs);
      const viewer = await view(edge, url).live();
      log.say(unavailable(), "ended");
      expectReturn(viewer, "logUnavailable", await viewer.end());
      expect(viewer.diagnostics.map(({ reason }) => reason.case)).toEqual(["caughtUp", "logUnavailable"]);
    });
  });

  it("an outage of the log is what /readyz names, for as long as it lasts", async () => {
    const { url, log, unavailable } = await serveFaulty(logs);
    const ready = async () => {
      const response = await fetch(`${url}/readyz`);
      return { status: response.status, body: await response.json() };
    };
    const error = unavailable();
    log.say(error);
    expect(await ready()).toEqual({
      status: 503,
      body: {
        ready: false,
        reasons: [
          { reason: "log_unavailable", message: error.message, since: new Date(error.details.sinceMs).toISOString() },
        ],
      },
    });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    log.say(undefined);
    expect(await ready()).toEqual({ status: 200, body: { ready: true, reasons: [] } });
  });
}
