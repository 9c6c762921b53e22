import { expect, test } from "vitest";
import { Severity } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { limits } from "../../src/base/limits.ts";
import { openJetStreamLog } from "../../src/log/jetstream/index.ts";
import { streamOf, subjectsOf } from "../../src/log/jetstream/stream/subjects.ts";
import { asOperator, freshNamespace } from "../log/jetstream/support.ts";
import { type NatsProcess, natsForFile, startNats } from "../support/nats.ts";
import { eventually, until } from "../support/until.ts";
import type { Edge } from "./edges/edge.ts";
import { edges } from "./edges/index.ts";
import { setLimit } from "./set-limit.ts";
import { resumeFrom, view } from "./viewer.ts";
import { idsOf, publishIds, serveOver } from "./world.ts";

function serveOn(nats: NatsProcess, namespace: string) {
  const open = () => openJetStreamLog({ servers: [nats.url], namespace });
  return serveOver({ name: "JetStream", open }, { expectFaults: true });
}

const nats = natsForFile();

test("NATS dies and comes back: every watch hears it once, and has everything once afterwards, over every edge", async () => {
  // However long NATS takes to start.
  setLimit("logUnavailableMs", 10 * 60_000);
  const own = await startNats({ syncAlways: true });
  const world = await serveOn(own, freshNamespace());
  const { cursor } = await publishIds(world.runtime, "w", ["1", "2"]);
  const live = await Promise.all(edges.map((edge) => view(edge, world.url).live()));
  await own.kill();
  await Promise.all(live.map((viewer) => viewer.diagnostic("logUnavailable")));
  // Whoever publishes now need not wait for an answer that can't come.
  const { natsAcknowledgeMs } = limits;
  setLimit("natsAcknowledgeMs", 10 * 60_000);
  await expect(publishIds(world.runtime, "w", ["refused"])).rejects.toMatchObject({ reason: "log_unavailable" });
  setLimit("natsAcknowledgeMs", natsAcknowledgeMs);
  const ready = await fetch(`${world.url}/readyz`);
  expect([ready.status, await ready.json()]).toMatchObject([503, { reasons: [{ reason: "log_unavailable" }] }]);
  const late = edges.map((edge) => view(edge, world.url, resumeFrom(cursor, { workerIds: ["w"] })));
  await Promise.all(late.map((viewer) => viewer.diagnostic("logUnavailable")));
  await own.start();
  await until(() => world.log.health().available, "the log to be back");
  await eventually(() => publishIds(world.runtime, "w", ["back"]));
  for (const viewer of [...live, ...late]) {
    await viewer.live();
    await until(async () => {
      await viewer.until(viewer.events.length + 1);
      return viewer.ids.at(-1) === "back";
    }, "what came afterwards");
    expect(viewer.terminal).toBeUndefined();
  }
  for (const viewer of live) expect(viewer.ids).toEqual(["1", "2", "back"]);
  for (const viewer of late) expect(viewer.ids).toEqual(["back"]);
});

test("NATS that stays away ends every watch, with a cursor that goes on at another server", async () => {
  setLimit("logUnavailableMs", 2_000);
  setLimit("natsRecentBytes", 1);
  const own = await startNats({ syncAlways: true });
  const namespace = freshNamespace();
  const world = await serveOn(own, namespace);
  await publishIds(world.runtime, "w", ["1", "2"]);
  const live = await Promise.all(edges.map((edge) => view(edge, world.url).live()));
  await own.kill();
  for (const viewer of live) {
    await viewer.end();
    expect(viewer.terminal?.reason.case).toBe("logUnavailable");
    expect(viewer.diagnostics.find(({ reason }) => reason.case === "logUnavailable")?.severity).toBe(Severity.NOTICE);
  }
  setLimit("logUnavailableMs", 60_000);
  await own.start();
  const other = await serveOn(own, namespace);
  await eventually(() => publishIds(other.runtime, "w", ["3"]));
  for (const [index, edge] of edges.entries()) {
    const back = view(edge, other.url, resumeFrom(live[index]?.cursor as string, { workerIds: ["w"] }));
    await back.until(1);
    expect(back.ids).toEqual(["3"]);
  }
});

test("a purge by hand is the exact loss of each scope, at a server that has nothing in memory, over every edge", async () => {
  const namespace = freshNamespace();
  const first = await serveOn(nats(), namespace);
  const cursors = first.runtime.cursors;
  const before = cursors.encode(first.log.bounds({ kind: "runtime" }).head);
  await publishIds(first.runtime, "w", idsOf("w", 4));
  const middle = cursors.encode(first.log.bounds({ kind: "workers", workerIds: ["w"] }).head);
  await publishIds(first.runtime, "w", idsOf("w", 3, 5));
  await publishIds(first.runtime, "other", idsOf("o", 2));
  await first.server.close({ graceMs: 50 });
  await first.runtime.close();
  const world = await serveOn(nats(), namespace);
  const { log, runtime } = world;
  const newest = log.worker("w")?.lastOrdinal;
  await asOperator(nats().url, (manager) =>
    manager.streams.purge(streamOf(namespace), { filter: subjectsOf(namespace) }),
  );
  // Whoever finds them gone, all are told.
  await view(edges[0] as Edge, world.url, resumeFrom(before)).end();
  await until(() => log.bounds({ kind: "workers", workerIds: ["w"] }).floor.workerOrdinal === newest, "all to be gone");
  const { floor } = log.bounds({ kind: "runtime" });
  for (const edge of edges) {
    const runtimeLoss = view(edge, world.url, resumeFrom(before));
    expect((await runtimeLoss.end()).detail?.reason).toMatchObject({
      case: "cursorExpired",
      value: {
        requestedCursor: before,
        lostEvents: BigInt(floor.ordinal - cursors.decode(before).position.ordinal),
        lostExact: true,
      },
    });
    const workerLoss = view(edge, world.url, resumeFrom(middle, { workerIds: ["w"] }));
    expect((await workerLoss.end()).detail?.reason).toMatchObject({
      case: "cursorExpired",
      value: { requestedCursor: middle, lostEvents: 3n, lostExact: true },
    });
    expect([...runtimeLoss.events, ...workerLoss.events]).toEqual([]);
  }
  await publishIds(runtime, "w", ["after"]);
  for (const edge of edges) {
    const viewer = await view(edge, world.url, { workerIds: ["w"] }).live();
    expect(viewer.ids).toEqual(["after"]);
    expect(viewer.events[0]?.workerSequence).toBe(BigInt((newest ?? 0) + 1));
  }
});
