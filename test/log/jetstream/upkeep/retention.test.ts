import { connect } from "@nats-io/transport-node";
import { expect, type TestContext, test, vi } from "vitest";
import { Lease } from "../../../../src/log/jetstream/bucket/lease.ts";
import { Meta } from "../../../../src/log/jetstream/bucket/meta.ts";
import { Snapshots } from "../../../../src/log/jetstream/bucket/snapshots.ts";
import { SnapshotCut } from "../../../../src/log/jetstream/fold/snapshot.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { purge } from "../../../../src/log/jetstream/upkeep/purge.ts";
import { Sweep } from "../../../../src/log/jetstream/upkeep/sweep.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { natsForFile } from "../../../support/nats.ts";
import { until } from "../../../support/until.ts";
import { expectExactExpiry } from "../../expiry.ts";
import { event, events, job, jobEvents, runtimeScope, workers } from "../../harness.ts";
import { viewOf } from "../../view.ts";
import { asOperator, foldOf, freshNamespace } from "../support.ts";

const nats = natsForFile();
const scopes = [runtimeScope, workers("quiet"), workers("a"), workers("b"), job("j")];

async function metaOf({ onTestFinished }: TestContext, namespace: string): Promise<Meta> {
  const connection = await connect({ servers: nats().url });
  onTestFinished(() => connection.close());
  return Meta.open(connection, namespace);
}

test("two that look after the stream by accident do no harm: what they keep and take away is the same for all", async (context) => {
  const namespace = freshNamespace();
  const options = { servers: [nats().url], namespace, retention: { workerEvents: 20 } };
  // Says what retention is to be.
  await (await openJetStreamLog(options)).close();
  const meta = await metaOf(context, namespace);
  // Nobody else looks after the stream, however long this takes.
  const keeper = new Lease(meta, "keeper", () => undefined);
  await keeper.start();
  expect(keeper.isHeld).toBe(true);
  const one = await openJetStreamLog(options);
  await one.append({ events: [event("quiet", "1")] });
  for (let i = 0; i < 100; i++) {
    await one.append({ events: events("a", 2, i) });
    await one.append({ events: [...jobEvents("b", "j", 1, i), ...events("b", 1, i), ...events("a", 1, i)] });
  }
  const before = await viewOf(one, scopes);
  const snapshots = new Snapshots(meta, one.identity.generation);
  // The second is behind the first: it knows less, and everything it knows is true.
  const behind = await foldOf(nats().url, namespace);
  await one.append({ events: [...events("a", 5, 300), ...jobEvents("b", "j", 5, 300)] });
  const ahead = await foldOf(nats().url, namespace);
  const now = await viewOf(one, scopes);
  expect(now).not.toEqual(before);
  await asOperator(nats().url, async (manager) => {
    await Promise.all([snapshots.write(new SnapshotCut(ahead)), snapshots.write(new SnapshotCut(behind))]);
    const through = (await snapshots.read())?.through ?? 0;
    await Promise.all(
      [behind, ahead].map((fold) => purge(manager, namespace, fold, new Sweep(manager, namespace), through)),
    );
    const { state } = await manager.streams.info(streamOf(namespace));
    // The message of the quiet worker is the third, and keeps nothing of the others alive.
    expect(state.first_seq).toBe(3);
    expect(state.messages).toBeLessThan(150);
  });
  expect(await viewOf(one, scopes)).toEqual(now);
  for (const scope of scopes) await expectExactExpiry(one, scope);
  const two = await openJetStreamLog(options);
  expect(two.identity).toEqual(one.identity);
  expect(await viewOf(two, scopes)).toEqual(now);
  await one.append({ events: events("quiet", 1, 2) });
  await until(() => two.worker("quiet")?.lastOrdinal === 2, "the other to have it");
  await one.close();
  await two.close();
  await keeper.stop();
});

test("who opens the log with a snapshot that another server replaces meanwhile takes the newer one", async (context) => {
  const namespace = freshNamespace();
  const options = { servers: [nats().url], namespace, retention: { workerEvents: 5 } };
  await (await openJetStreamLog(options)).close();
  const meta = await metaOf(context, namespace);
  const keeper = new Lease(meta, "keeper", () => undefined);
  await keeper.start();
  const one = await openJetStreamLog(options);
  context.onTestFinished(() => one.close());
  const snapshots = new Snapshots(meta, one.identity.generation);
  await one.append({ events: events("a", 3) });
  await snapshots.write(new SnapshotCut(await foldOf(nats().url, namespace)));
  const old = await snapshots.read();
  for (let i = 0; i < 20; i++) await one.append({ events: events("a", 1, 4 + i) });
  const ahead = await foldOf(nats().url, namespace);
  await one.append({ events: events("a", 1, 30) });
  await asOperator(nats().url, async (manager) => {
    const through = await snapshots.write(new SnapshotCut(ahead));
    await purge(manager, namespace, ahead, new Sweep(manager, namespace), through);
    expect((await manager.streams.info(streamOf(namespace))).state.first_seq).toBeGreaterThan((old?.through ?? 0) + 1);
  });
  vi.spyOn(Snapshots.prototype, "read").mockResolvedValueOnce(old);
  const two = await openJetStreamLog(options);
  context.onTestFinished(() => two.close());
  expect(two.identity).toEqual(one.identity);
  expect(await viewOf(two, scopes)).toEqual(await viewOf(one, scopes));
  await keeper.stop();
});

test("pieces of snapshots that nobody finished go with the next one, and none that is noted goes", async (context) => {
  // The log itself keeps none meanwhile.
  setLimit("natsSnapshotMs", 600_000);
  const namespace = freshNamespace();
  const log = await openJetStreamLog({ servers: [nats().url], namespace });
  context.onTestFinished(() => log.close());
  const meta = await metaOf(context, namespace);
  const snapshots = new Snapshots(meta, log.identity.generation);
  const cutOf = async () => new SnapshotCut(await foldOf(nats().url, namespace));
  await meta.put("snapshot.left.0", new Uint8Array(10));
  await meta.put("snapshot.left.1", new Uint8Array(10));
  for (let i = 0; i < 5; i++) {
    await log.append({ events: events("a", 1, i) });
    const through = await snapshots.write(await cutOf());
    const ids = new Set((await meta.keysBelow("snapshot")).map((key) => key.split(".")[0]));
    expect(ids.size).toBe(1);
    expect(ids).not.toContain("left");
    expect((await snapshots.read())?.through).toBe(through);
  }
});
