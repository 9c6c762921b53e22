import { describe, expect, it } from "vitest";
import { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import { OutputStream } from "../../gen/tailrace/v1/payloads_pb.ts";
import { decodeCursor } from "../../src/events/cursor.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { connectHttp2 } from "../conformance/edges/connect.ts";
import { edges } from "../conformance/edges/index.ts";
import { type Viewer, view } from "../conformance/viewer.ts";
import { publishIds } from "../conformance/world.ts";
import { serve } from "../support/serving.ts";

const chunkBytes = 48 * 1024;
/** More than the buffers of both sides' sockets and libraries take together. */
const chunks = 700;
const megabytes = 1024 * 1024;

/** Publishes for a worker, never so fast that a reader that reads could be overtaken by retention. */
async function flood(runtime: Runtime, count: number, reader: Viewer): Promise<void> {
  for (let i = 1; i <= count; i++) {
    const value = { stream: OutputStream.STDOUT, data: Buffer.alloc(chunkBytes, `${i} `) };
    await runtime.publish([{ workerId: "chatty", payload: { case: "output", value } }]);
    if (i % 16 === 0) await reader.until(i);
  }
  await reader.until(count);
}

const request = { workerIds: ["chatty"], kinds: [EventKind.OUTPUT] };

describe.each(edges)("a reader over $name that stalls", (edge) => {
  it("until its position leaves retention is told exactly what it lost; the others notice nothing", async () => {
    const { runtime, server } = await serve({ retention: { workerBytes: 4 * megabytes } });
    await publishIds(runtime, "chatty", ["begin"]);
    await publishIds(runtime, "quiet", ["begin"]);
    const stalled = await view(edge, server.url, { workerIds: ["chatty"] }).live();
    const reading = await view(connectHttp2, server.url, request).live();
    const quiet = await view(connectHttp2, server.url, { workerIds: ["quiet"] }).live();

    await flood(runtime, chunks, reading);
    await publishIds(runtime, "quiet", ["end"]);
    await quiet.until(3);

    const ending = await stalled.end();
    expect(ending.code ?? "out_of_range").toBe("out_of_range");
    const { reason } = stalled.terminal ?? {};
    if (reason?.case !== "cursorExpired") throw new Error(`it ended with ${reason?.case}`);
    const last = Number(stalled.events.at(-1)?.workerSequence);
    expect(last).toBeLessThan(chunks);
    expect(reason.value.lostExact).toBe(true);
    expect(reason.value.lostEvents).toBe(
      BigInt(decodeCursor(reason.value.earliestCursor).position.workerOrdinal - last),
    );
    // None of those is retained. It may have heard of its loss before the flood was over, so there may be less by now.
    const late = await view(edge, server.url, { workerIds: ["chatty"] }).live();
    expect(Number(late.events[0]?.workerSequence)).toBeGreaterThan(last + Number(reason.value.lostEvents));

    expect(reading.events).toHaveLength(chunks);
    expect([...reading.diagnostics, ...quiet.diagnostics].map((diagnostic) => diagnostic.reason.case)).not.toContain(
      "cursorExpired",
    );
    expect(quiet.ids).toEqual(["begin", "end"]);
  });

  it("within retention goes on where it was, on the same connection, without loss", async () => {
    const { runtime, server } = await serve({ retention: { workerBytes: 64 * megabytes } });
    await publishIds(runtime, "chatty", ["begin"]);
    const stalled = await view(edge, server.url, { workerIds: ["chatty"] }).live();
    const reading = await view(connectHttp2, server.url, request).live();
    await flood(runtime, chunks, reading);
    await publishIds(runtime, "chatty", ["end"]);
    await stalled.diagnostic("fellBehind");
    while (stalled.ids.at(-1) !== "end") await stalled.find("events");
    // That nothing is missing or twice, the rules of frames hold: worker sequences without holes.
    expect(Number(stalled.events.at(-1)?.workerSequence)).toBe(chunks + 3);
    expect(stalled.cases.filter((name) => name === "opened")).toHaveLength(1);
    const reasons = (await stalled.live()).diagnostics.map(({ reason }) => reason.case);
    expect(new Set(reasons)).toEqual(new Set(["caughtUp", "fellBehind"]));
  });
});
