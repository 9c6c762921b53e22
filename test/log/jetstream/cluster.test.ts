import { describe, expect, test } from "vitest";
import type { EventLog } from "../../../src/log/contract.ts";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../src/log/jetstream/stream/subjects.ts";
import { startNatsCluster } from "../../support/nats.ts";
import { eventually, until } from "../../support/until.ts";
import { event, runtimeScope, type Seen, seenOf } from "../harness.ts";
import { viewOf } from "../view.ts";
import { asOperator, freshNamespace } from "./support.ts";

// Each waits until NATS has found out.
describe.concurrent("a cluster of NATS", () => {
  test("when the leader of the stream is killed, nothing acknowledged is lost and everyone has everything once", async ({
    onTestFinished,
  }) => {
    const cluster = await startNatsCluster({}, onTestFinished);
    const namespace = freshNamespace();
    const open = async (): Promise<EventLog> => {
      const log = await openJetStreamLog({ servers: cluster.urls, namespace, replicas: 3 });
      onTestFinished(() => log.close());
      return log;
    };
    const logs = [await open(), await open()];
    const told: Seen[][] = logs.map((log) => {
      const seen: Seen[] = [];
      log.subscribe((block) => seen.push(...seenOf(block)));
      return seen;
    });
    const acknowledged: { text: string; sequence: number }[] = [];
    let refused = 0;
    let stops = false;
    const publishers = logs.flatMap((log, server) =>
      [0, 1, 2].map(async (publisher) => {
        for (let n = 0; !stops; n++) {
          const text = `${server}/${publisher}/${n}`;
          const result = await log.append({ events: [event(`w${publisher}`, text)] }).catch(() => undefined);
          if (result === undefined) {
            refused++;
            await new Promise((resolve) => setTimeout(resolve, 50));
          } else acknowledged.push({ text, sequence: result.firstSequence });
        }
      }),
    );
    const more = async (what: string) => {
      const before = acknowledged.length;
      await until(() => acknowledged.length > before + 100, what);
    };
    await more("acknowledgements before");
    const leader = await eventually(() => cluster.leaderOf(streamOf(namespace)));
    await leader.kill();
    await more("acknowledgements without the leader");
    await leader.start();
    await more("acknowledgements with all of them again");
    stops = true;
    await Promise.all(publishers);
    const [one, two] = logs as [EventLog, EventLog];
    const { last } = await eventually(() => one.append({ events: [event("end", "end")] }));
    await until(() => two.bounds(runtimeScope).head.sequence >= last.sequence, "the other to have the last event");
    expect(told[0]).toEqual(told[1]);
    const bySequence = new Map(told[0]?.map((seen) => [seen.sequence, seen.text]));
    expect(acknowledged.filter(({ sequence, text }) => bySequence.get(sequence) !== text)).toEqual([]);
    expect(told[0]?.map((seen) => seen.ordinal)).toEqual(told[0]?.map((_, i) => i + 1));
    // What was refused may be there, once at the most.
    expect(new Set(told[0]?.map((seen) => seen.text)).size).toBe(told[0]?.length);
    expect((told[0]?.length ?? 0) - 1).toBeLessThanOrEqual(acknowledged.length + refused);
    const three = await open();
    expect(await viewOf(three, [runtimeScope])).toEqual(await viewOf(one, [runtimeScope]));
  });

  test("the tail goes on when the server of NATS dies that sends it, and does not come back", async ({
    onTestFinished,
  }) => {
    const cluster = await startNatsCluster({}, onTestFinished);
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
});
