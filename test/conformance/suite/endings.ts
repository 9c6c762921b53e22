import { describe, expect, it } from "vitest";
import { Severity } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import { limits } from "../../../src/base/limits.ts";
import { decodeCursor } from "../../../src/events/cursor.ts";
import { edges, rpcEdges, sseEdges } from "../edges/index.ts";
import { expectReturn, passing, serveFaulty } from "../faulty-world.ts";
import { secretOfTheHost } from "../refusals.ts";
import { reconnect, resumeFrom, view } from "../viewer.ts";
import { type LogUnderTest, publishIds, serveOver } from "../world.ts";

/** How a watch that has begun ends for reasons that are not the reader's, and how its reader comes back. */
export function endingsSuite(logs: LogUnderTest): void {
  describe.each(edges)("the end of a watch over $name", (edge) => {
    it("is put off while the log can't be read, and goes on when it can", async () => {
      const { url, cursor, log, clock, unavailable } = await serveFaulty(logs);
      log.readFault = unavailable();
      const viewer = view(edge, url, resumeFrom(cursor));
      const notice = await viewer.diagnostic("logUnavailable");
      expect(notice.severity).toBe(Severity.NOTICE);
      expect(decodeCursor(notice.cursor).position).toEqual(decodeCursor(cursor).position);
      log.readFault = undefined;
      await passing(clock, viewer.live());
      expect(viewer.ids).toEqual(["unread"]);
      expect(viewer.diagnostics.map(({ reason }) => reason.case)).toEqual(["logUnavailable", "caughtUp"]);
    });

    it("comes when the log can't be read for long, after a notice, with a cursor to come back with", async () => {
      const { url, cursor, log, clock, unavailable } = await serveFaulty(logs);
      log.readFault = unavailable();
      const viewer = view(edge, url, resumeFrom(cursor));
      await viewer.diagnostic("logUnavailable");
      const began = clock.now();
      const ending = await passing(clock, viewer.end());
      expect(clock.now() - began).toBeGreaterThanOrEqual(limits.logUnavailableMs - limits.logRetryMs);
      expectReturn(viewer, "logUnavailable", ending);
      expect(JSON.stringify(viewer.terminal?.message)).not.toContain(secretOfTheHost);
      log.readFault = undefined;
      const back = view(edge, url, resumeFrom(viewer.cursor));
      await passing(clock, back.live());
      expect(back.ids).toEqual(["unread"]);
    });

    it("comes with an incident id, and nothing else, when the server fails", async () => {
      const { url, cursor, log, faults } = await serveFaulty(logs);
      log.readFault = new TypeError(`cannot read ${secretOfTheHost}`);
      const viewer = view(edge, url, resumeFrom(cursor));
      const { code } = await viewer.end();
      const { reason, message } = viewer.terminal ?? {};
      expect(code ?? "internal").toBe("internal");
      expect(reason?.case).toBe("internal");
      expect(message).not.toContain(secretOfTheHost);
      expect(faults.map(({ incidentId }) => incidentId)).toContain(
        reason?.case === "internal" ? reason.value.incidentId : "none",
      );
    });

    it("comes with a cursor to come back with when the server closes", async () => {
      const { runtime, url, server } = await serveOver(logs);
      await publishIds(runtime, "w", ["1"]);
      const viewer = await view(edge, url).live();
      const { cursor } = await publishIds(runtime, "w", ["2"]);
      // Longer than a test may take: a reader that reads is not to need it.
      const closing = server.close({ graceMs: 600_000 });
      expectReturn(viewer, "serverClosing", await viewer.end());
      expect(viewer.ids).toEqual(["1", "2"]);
      expect(decodeCursor(viewer.cursor).position.sequence).toBe(decodeCursor(cursor).position.sequence);
      await closing;
    });
  });

  describe("an EventSource that reconnects", () => {
    it.each(sseEdges)("comes back over $name to a server that closes with what it had", async (edge) => {
      const { runtime, url } = await serveOver(logs);
      const { cursor } = await publishIds(runtime, "w", ["1"]);
      runtime.beginClosing(1_000);
      const viewer = reconnect(edge, url, cursor);
      expect(await viewer.end()).toMatchObject({ status: 200 });
      expect(viewer.terminal?.reason.case).toBe("serverClosing");
      expect(viewer.cursor).toBe(cursor);
    });
  });

  it.each(rpcEdges)("keeps the deadline of a call over $name apart from the reasons of the protocol", async (edge) => {
    const { url } = await serveOver(logs);
    const headers = edge.name.startsWith("Connect") ? { "connect-timeout-ms": "50" } : { "grpc-timeout": "50m" };
    const viewer = view(edge, url, {}, { headers });
    expect(await viewer.end()).toMatchObject({ code: "deadline_exceeded", detail: undefined });
    expect(viewer.terminal).toBeUndefined();
  });
}
