import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OnExpired } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { edges, sseEdges } from "../edges/index.ts";
import { reconnect, resumeFrom, type Viewer, view } from "../viewer.ts";
import { idsOf, type LogUnderTest, publishBatch, publishIds, serveOver } from "../world.ts";

/** Ways to alter a cursor: text to text. */
type Alteration = (cursor: string) => string;

const urlSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const alterations: fc.Arbitrary<Alteration> = fc.oneof(
  // A character for another.
  fc
    .tuple(fc.nat(), fc.constantFrom(...urlSafe, "+", "/", "=", ".", "~", "!"))
    .map(([at, character]) => (cursor: string) => {
      const index = at % cursor.length;
      return cursor.slice(0, index) + character + cursor.slice(index + 1);
    }),
  // A bit of its bytes.
  fc.nat().map((at) => (cursor: string) => {
    const bytes = Buffer.from(cursor, "base64url");
    const bit = at % (bytes.length * 8);
    bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    return bytes.toString("base64url");
  }),
  // Cut, extended, doubled, in another alphabet.
  fc.nat().map((at) => (cursor: string) => cursor.slice(0, at % cursor.length)),
  fc.constantFrom(...urlSafe, "=", "==").map((more) => (cursor: string) => cursor + more),
  fc.constant((cursor: string) => cursor + cursor),
  fc.constant((cursor: string) => Buffer.from(cursor, "base64url").toString("base64").concat("=")),
  fc.constant((cursor: string) => Buffer.from(cursor, "base64url").toString("hex")),
);

/** Nothing but the cursor itself is taken for it. */
export function cursorSuite(logs: LogUnderTest): void {
  describe("an altered cursor", () => {
    it.each(edges)("never yields events over $name", async (edge) => {
      const { runtime, url } = await serveOver(logs);
      const { cursor } = await publishIds(runtime, "w", ["1"]);
      await publishBatch(runtime, "w", idsOf("more", 5));
      await tryAlterations(cursor, (altered, onExpired) => view(edge, url, resumeFrom(altered, { onExpired })));
    });

    it.each(sseEdges)("never yields events as the header of an EventSource over $name", async (edge) => {
      const { runtime, url } = await serveOver(logs);
      const { cursor } = await publishIds(runtime, "w", ["1"]);
      await publishBatch(runtime, "w", idsOf("more", 5));
      // An empty header is none.
      const open = (altered: string, onExpired: OnExpired) =>
        reconnect(edge, url, altered === "" ? "-" : altered, { onExpired });
      await tryAlterations(cursor, open);
    });
  });

  it.each(edges)(
    "a cursor with the end flag of another position is no way around retention over $name",
    async (edge) => {
      const { runtime, url } = await serveOver(logs, { retention: { workerEvents: 3 } });
      const { cursor } = await publishIds(runtime, "w", ["1"]);
      await publishBatch(runtime, "w", idsOf("more", 8));
      const closing = runtime.cursors.encode(runtime.cursors.decode(cursor).position, true);
      const viewer = view(edge, url, resumeFrom(closing, { workerIds: ["w"] }));
      await viewer.end();
      expect(viewer.events).toEqual([]);
    },
  );
}

async function tryAlterations(cursor: string, open: (altered: string, onExpired: OnExpired) => Viewer): Promise<void> {
  const policies = fc.constantFrom(OnExpired.FAIL, OnExpired.CONTINUE_WITH_GAP);
  await fc.assert(
    fc.asyncProperty(alterations, policies, async (alter, onExpired) => {
      const altered = alter(cursor);
      fc.pre(altered !== cursor);
      const viewer = open(altered, onExpired);
      const { detail } = await viewer.end();
      viewer.leave();
      expect(viewer.events).toEqual([]);
      expect((viewer.terminal ?? detail)?.reason.case).toBe("cursorMalformed");
    }),
    { numRuns: 60 },
  );
}
