import { expect, onTestFinished, test } from "vitest";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../src/log/jetstream/subjects.ts";
import { startNatsCluster } from "../../support/nats.ts";
import { eventually } from "../../support/until.ts";
import { event, type Seen, seenOf } from "../harness.ts";
import { asOperator, freshNamespace } from "./support.ts";

test("the tail goes on when the server of NATS dies that sends it, and does not come back", async () => {
  const cluster = await startNatsCluster();
  const namespace = freshNamespace();
  const log = await openJetStreamLog({ servers: cluster.urls, namespace, replicas: 3 });
  onTestFinished(() => log.close());
  const seen: Seen[] = [];
  log.subscribe((block) => seen.push(...seenOf(block)));
  await eventually(() => log.append({ events: [event("w", "before")] }));
  const sender = await eventually(() =>
    asOperator(cluster.urls[0] as string, async (manager) => {
      const [consumer] = await manager.consumers.list(streamOf(namespace)).next();
      const leader = cluster.servers.find(({ name }) => name === consumer?.cluster?.leader);
      if (leader === undefined) throw new Error("the tail has no sender now");
      return leader;
    }),
  );
  await sender.kill();
  const result = await eventually(() => log.append({ events: [event("w", "after")] }));
  expect(seen.at(-1)).toMatchObject({ text: "after", sequence: result.firstSequence });
  const ordinals = seen.map(({ ordinal }) => ordinal);
  expect(ordinals).toEqual(ordinals.map((_, i) => i + 1));
});
