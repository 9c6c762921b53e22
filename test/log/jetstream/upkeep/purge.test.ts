import { expect, test } from "vitest";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { natsForFile } from "../../../support/nats.ts";
import { startTcpProxy } from "../../../support/tcp-proxy.ts";
import { eventually, until } from "../../../support/until.ts";
import { asOperator, freshNamespace } from "../support.ts";

const nats = natsForFile();

test("what nobody needs stays for a while, so that a server that was away goes on where it was", async ({
  onTestFinished,
}) => {
  setLimit("natsSnapshotMs", 100);
  const namespace = freshNamespace();
  const proxy = await startTcpProxy(nats().port);
  const stays = await openJetStreamLog({ servers: [nats().url], namespace });
  const leaves = await openJetStreamLog({ servers: [`127.0.0.1:${proxy.port}`], namespace, discoverServers: false });
  onTestFinished(async () => {
    await stays.close();
    await leaves.close();
  });
  // The one that stays looks after the stream.
  await until(() => stays.isKeeper !== leaves.isKeeper, "one of them to look after the stream");
  expect(stays.isKeeper).toBe(true);
  proxy.refuse();
  proxy.cut();
  await until(() => !leaves.health().available, "the other to be away");
  let value = 0;
  const put = async (): Promise<void> => {
    await stays.append({ events: [], state: new Map([["k", Buffer.from(String(++value))]]) });
  };
  const first = () =>
    asOperator(nats().url, async (manager) => (await manager.streams.info(streamOf(namespace))).state.first_seq);
  const snapshots = () =>
    asOperator(nats().url, async (manager) => {
      return (await manager.streams.info(`KV_TAILRACE_${namespace}_META`)).state.last_seq;
    });
  while (value < 200) await put();
  // It kept several snapshots since, and could have removed all of it each time.
  const before = await snapshots();
  await eventually(async () => {
    await put();
    expect(await snapshots()).toBeGreaterThan(before + 10);
  });
  expect(await first()).toBe(1);
  proxy.heal();
  await until(() => Buffer.from(leaves.state("k") ?? "").toString() === String(value), "the other to have it all");
  // The tail's first messages come before it is said that it runs again.
  await until(() => leaves.health().available, "the other to be back");

  setLimit("natsPurgeAfterMs", 0);
  await eventually(async () => {
    await put();
    expect(await first()).toBeGreaterThan(200);
  });
});
