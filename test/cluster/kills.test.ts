import { expect, test } from "vitest";
import type { NatsProcess } from "../support/nats.ts";
import { eventually } from "../support/until.ts";
import { Scene } from "./support/scene.ts";
import type { Server } from "./support/server.ts";
import { startCluster } from "./support/start-cluster.ts";

test("a server, a node of NATS and the leader of the stream are killed under load: every watcher has every acknowledged event once", {
  timeout: 900_000,
}, async () => {
  const cluster = await startCluster({ servers: 2 });
  const scene = new Scene(cluster);
  const [, server] = cluster.servers as [Server, Server];
  await scene.more(200);

  const gaps: Record<string, unknown> = {};
  gaps.server = await scene.gapsOf(async () => {
    await server.kill();
    await scene.more(200);
    await server.start();
  });
  const first = await eventually(() => cluster.leader());
  const follower = cluster.nats.find((node) => node !== first) as NatsProcess;
  gaps.node = await scene.gapsOf(async () => {
    await follower.kill();
    await scene.more(200);
    await follower.start();
  });
  const leader = await eventually(() => cluster.leader());
  gaps.leader = await scene.gapsOf(async () => {
    await leader.kill();
    await scene.more(200);
    await leader.start();
  });
  console.log(`milliseconds without service: ${JSON.stringify(gaps)}`);

  expect(await scene.verdict()).toEqual([]);
  // Else the kills missed those whom they were to hit.
  expect(scene.load.refusals.size).toBeGreaterThan(0);
  expect(scene.watchers.filter(({ connections }) => connections > 1).length).toBeGreaterThanOrEqual(3);
  for (const { name, endedByItself } of cluster.servers) expect([name, endedByItself]).toEqual([name, []]);
});
