import { describe, expect, it } from "vitest";
import { decodeCursor } from "../../../src/events/cursor.ts";
import type { WatchRequest } from "../edges/edge.ts";
import { edges, rpcEdges, sseEdges } from "../edges/index.ts";
import { expectDiagnostic } from "../expect-diagnostic.ts";
import { serveOverFaulty } from "../faulty-world.ts";
import { outcomes } from "../reasons.ts";
import { type Refusal, refusals, retentionOfRefusals } from "../refusals.ts";
import { reconnect, view } from "../viewer.ts";
import type { LogUnderTest, World } from "../world.ts";

/** Every row of the diagnostics table that can refuse a watch, over every edge. */
export function diagnosticsSuite(logs: LogUnderTest): void {
  const prepare = async (refusal: Refusal): Promise<{ world: World; request: WatchRequest }> => {
    const { world, log } = await serveOverFaulty(logs, { retention: retentionOfRefusals });
    return { world, request: await refusal.request(world, log) };
  };

  describe.each(refusals)("refused for $name", (refusal) => {
    const { reason, details = {}, returning = false, rpcOnly = false, startInUrl = false, parameter } = refusal;
    const { code, status } = outcomes[reason];
    const inUrl = parameter === undefined ? details : { ...details, field: parameter };

    it.each(rpcEdges)("is a frame, and the code and detail of $name", async (edge) => {
      const { world, request } = await prepare(refusal);
      const viewer = view(edge, world.url, request);
      const ending = await viewer.end();
      expect(viewer.cases).toEqual(["diagnostic"]);
      expect(ending.code).toBe(code);
      expect(ending.detail).toEqual(viewer.terminal);
      expectDiagnostic(viewer.terminal, reason, details, world);
    });

    if (rpcOnly) return;

    it.each(sseEdges)(`is a problem of status ${status} over $name`, async (edge) => {
      const { world, request } = await prepare(refusal);
      const viewer = view(edge, world.url, request);
      const ending = await viewer.end();
      expect(viewer.cases).toEqual([]);
      expect(ending.status).toBe(status);
      expectDiagnostic(ending.detail, reason, inUrl, world);
    });

    if (startInUrl) return;

    it.each(sseEdges)("is an event for an EventSource that reconnects over $name", async (edge) => {
      const { world, request } = await prepare(refusal);
      const { start, ...rest } = request;
      const url = rest as WatchRequest;
      const own = world.runtime.cursors.encode(world.runtime.log.bounds({ kind: "runtime" }).head);
      const lastEventId = start?.case === "cursor" ? start.value : own;
      const viewer = reconnect(edge, world.url, lastEventId, url);
      expect(await viewer.end()).toMatchObject({ status: 200, detail: undefined });
      expect(viewer.cases).toEqual(["diagnostic"]);
      expectDiagnostic(viewer.terminal, reason, inUrl, world);
      if (returning) {
        expect(viewer.cursor).toBe(lastEventId);
      } else {
        expect(decodeCursor(viewer.cursor).closing).toBe(true);
        // Where the URL itself is refused it stays so, but the cursor is looked at first.
        const again = await reconnect(edge, world.url, viewer.cursor, url).end();
        if (reason === "invalidRequest") expect([200, 204]).toContain(again.status);
        else expect(again.status).toBe(204);
      }
    });
  });

  it("repeats no cursor in its words", async () => {
    const { world, request } = await prepare(refusals.find(({ reason }) => reason === "cursorUnknown") as Refusal);
    for (const edge of edges) {
      const viewer = view(edge, world.url, request);
      const { detail } = await viewer.end();
      expect(detail?.message).not.toContain(request.start?.value);
    }
  });
}
