import type { JetStreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { purge } from "../../../../src/log/jetstream/upkeep/purge.ts";
import { Sweep } from "../../../../src/log/jetstream/upkeep/sweep.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { natsForFile } from "../../../support/nats.ts";
import { event } from "../../harness.ts";
import { asOperator, foldOf, freshNamespace } from "../support.ts";

const nats = natsForFile();

/** A log whose first message stays, and all behind it that nobody needs are of several workers. Gives the stream's end. */
async function fill(namespace: string, messages: number): Promise<void> {
  const log = await openJetStreamLog({ servers: [nats().url], namespace, retention: { workerEvents: 10 } });
  await log.append({ events: [event("quiet", "once"), event("quiet too", "once")] });
  for (let i = 0; i < messages; i++) await log.append({ events: [event("a", `${i}`), event("b", `${i}`)] });
  await log.close();
}

async function stateOf(manager: JetStreamManager, namespace: string) {
  return (await manager.streams.info(streamOf(namespace))).state;
}

test("all that is dead behind a message that stays goes in one round, however much it is", async () => {
  const namespace = freshNamespace();
  await fill(namespace, 3_000);
  const fold = await foldOf(nats().url, namespace);
  await asOperator(nats().url, async (manager) => {
    setLimit("natsSweepMs", 240_000);
    await purge(manager, namespace, fold, new Sweep(manager, namespace), fold.last);
    // What the quiet ones said, and ten of the others.
    expect((await stateOf(manager, namespace)).messages).toBe(11);
  });
});

test("a round that has no more time leaves the rest to the next ones, which look at nothing twice", async () => {
  const namespace = freshNamespace();
  await fill(namespace, 300);
  const fold = await foldOf(nats().url, namespace);
  await asOperator(nats().url, async (manager) => {
    setLimit("natsSweepMs", 0);
    setLimit("natsDeletesAtOnce", 100);
    const sweep = new Sweep(manager, namespace);
    const counts: number[] = [];
    for (let round = 0; round < 4; round++) {
      await purge(manager, namespace, fold, sweep, fold.last, true);
      counts.push((await stateOf(manager, namespace)).messages);
    }
    const before = counts[0] as number;
    expect(counts.slice(1)).toEqual([before - 100, 11, 11]);
  });
});
