import { describe, expect, it } from "vitest";
import { decodeCursor } from "../../src/events/cursor.ts";
import { type ServeProcess, startServe } from "../cli/support.ts";
import { edges } from "../conformance/edges/index.ts";
import { resumeFrom, type Viewer, view } from "../conformance/viewer.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { until } from "../support/until.ts";
import { Producer } from "./load.ts";

const kills = 20;
const producers = 3;
/** Acknowledged batches of a life, at least, before it ends. */
const batchesPerLife = 15;

/** Reads until its server is gone. What a torn connection looks like differs from client to client. */
async function follow(viewer: Viewer): Promise<void> {
  try {
    await viewer.end();
  } catch {
    // The connection broke: that is what it waits for.
  }
}

describe("a server that is killed while it is under load", () => {
  it(`keeps every acknowledged event, uses no sequence twice and knows its old cursors, ${kills} times in a row`, {
    timeout: 900_000,
  }, async () => {
    const data = scratchDirectory();
    const start = (): Promise<ServeProcess> =>
      startServe(["--listen", "127.0.0.1:0", "--data", data, "--durability", "process"]);
    let server = await start();
    const load = Array.from({ length: producers }, (_, index) => new Producer(`w${index}`, () => server.url));
    const running = Promise.all(load.map((producer) => producer.run()));
    const batches = (): number => load.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0);

    const seen: string[] = [];
    const sequences: bigint[] = [];
    const cursors: string[] = [];
    let cursor: string | undefined;
    for (let life = 0; life <= kills; life++) {
      // Another edge in each life, with the cursor of the one before: events were published while it was away.
      const edge = edges[life % edges.length] as (typeof edges)[number];
      const viewer = view(edge, server.url, cursor === undefined ? {} : resumeFrom(cursor));
      const following = follow(viewer);
      const target = batches() + batchesPerLife;
      await until(() => batches() >= target, "the load to go on");
      if (life === kills) {
        for (const producer of load) producer.stop();
        await running;
        await until(() => published(load) === seen.length + viewer.ids.length, "the last events");
        viewer.leave();
      } else {
        server.process.child.kill("SIGKILL");
        await server.process.ended;
        server = await start();
      }
      await following;
      seen.push(...viewer.ids);
      sequences.push(...viewer.events.map(({ sequence }) => sequence));
      if (viewer.cursor !== "") cursor = viewer.cursor;
      if (cursor !== undefined) cursors.push(cursor);
    }

    // Every event once, of each producer in its order; none that nobody published.
    for (const { workerId, acknowledged } of load) {
      expect(seen.filter((id) => id.startsWith(`${workerId}-`))).toEqual(acknowledged.flatMap(({ ids }) => ids));
    }
    expect(seen).toHaveLength(published(load));
    // No sequence was used twice, also not for an event that nobody was told of.
    for (const [index, sequence] of sequences.entries()) {
      if (index > 0) expect(sequence > (sequences[index - 1] as bigint)).toBe(true);
    }
    // What one life acknowledged is where it said, in the last.
    const [edge] = edges as [(typeof edges)[number]];
    const all = await view(edge, server.url).live();
    expect(all.ids).toEqual(seen);
    const sequenceOf = new Map(all.events.map((event) => [event.correlationId, event.sequence]));
    for (const { ids, response } of load.flatMap(({ acknowledged }) => acknowledged)) {
      expect(sequenceOf.get(ids.at(-1) as string)).toBe(response.lastSequence);
      expect(decodeCursor(response.cursor).position.sequence).toBe(Number(response.lastSequence));
    }
    for (const old of cursors) {
      const rest = await view(edge, server.url, resumeFrom(old)).live();
      const { sequence } = decodeCursor(old).position;
      expect(rest.events).toEqual(all.events.filter((event) => event.sequence > BigInt(sequence)));
      rest.leave();
    }
    // Else the kills missed the load.
    expect(load.reduce((sum, { unanswered }) => sum + unanswered, 0)).toBeGreaterThanOrEqual(kills);
  });

  it("says over every edge that it has another log when its directory was wiped", async () => {
    const data = scratchDirectory();
    const before = await startServe(["--listen", "127.0.0.1:0", "--data", data]);
    const [edge] = edges as [(typeof edges)[number]];
    const viewer = await view(edge, before.url).live();
    viewer.leave();
    before.process.child.kill("SIGTERM");
    expect(await before.process.ended).toBe(0);
    const after = await startServe(["--listen", "127.0.0.1:0", "--data", scratchDirectory()]);
    for (const other of edges) {
      const { detail } = await view(other, after.url, resumeFrom(viewer.cursor)).end();
      expect(detail?.reason.case).toBe("cursorUnknown");
    }
  });

  it("ends every watch with a cursor to come back with when it is told to stop, within its bound", async () => {
    const data = scratchDirectory();
    const before = await startServe(["--listen", "127.0.0.1:0", "--data", data]);
    const load = new Producer("w", () => before.url);
    const running = load.run();
    const viewers = await Promise.all(edges.map((edge) => view(edge, before.url).live()));
    await until(() => load.acknowledged.length > 20, "some load");
    load.stop();
    await running;
    const stopped = performance.now();
    before.process.child.kill("SIGTERM");
    const endings = await Promise.all(viewers.map((viewer) => viewer.end()));
    expect(await before.process.ended).toBe(0);
    // What does not end by itself is cut off after 5 s, and the process ends after 10.
    expect(performance.now() - stopped).toBeLessThan(60_000);
    const ids = load.acknowledged.flatMap((batch) => batch.ids);
    for (const [index, viewer] of viewers.entries()) {
      expect(viewer.terminal?.reason.case).toBe("serverClosing");
      expect(endings[index]?.code ?? "unavailable").toBe("unavailable");
      expect(viewer.ids).toEqual(ids);
      expect(decodeCursor(viewer.cursor).closing).toBe(false);
    }
    const after = await startServe(["--listen", "127.0.0.1:0", "--data", data]);
    for (const [index, edge] of edges.entries()) {
      const back = await view(edge, after.url, resumeFrom(viewers[index]?.cursor ?? "")).live();
      // The second is said as the runtime begins, and may come after the watch is live.
      await back.until(2);
      expect(back.ids).toEqual([]);
      expect(back.events.map(({ payload }) => payload.case)).toEqual(["runtimeStopped", "runtimeStarted"]);
    }
  });
});

function published(load: readonly Producer[]): number {
  return load.reduce((sum, { acknowledged }) => sum + acknowledged.reduce((n, { ids }) => n + ids.length, 0), 0);
}
