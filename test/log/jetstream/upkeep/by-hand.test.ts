import { describe, expect, onTestFinished, test } from "vitest";
import type { EventLog, Scope } from "../../../../src/log/contract.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { bucketOf, eventSubject, streamOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { natsForFile } from "../../../support/nats.ts";
import { eventually } from "../../../support/until.ts";
import { expectExactExpiry } from "../../expiry.ts";
import { events, readAll, runtimeScope, workers } from "../../harness.ts";
import { asOperator, freshNamespace } from "../support.ts";

const nats = natsForFile();
const state = (value: number) => new Map([["k", Uint8Array.of(value)]]);
const all: readonly Scope[] = [runtimeScope, workers("a"), workers("b")];

async function server(namespace: string): Promise<EventLog> {
  const log = await openJetStreamLog({ servers: [nats().url], namespace });
  onTestFinished(() => log.close());
  return log;
}

/** Two servers, of which each wrote something that no snapshot has. */
async function twoServers(namespace: string) {
  const [one, two] = [await server(namespace), await server(namespace)];
  for (let i = 1; i <= 20; i++) {
    await (i % 2 === 0 ? one : two).append({ events: [...events("a", 1, i)] });
    await one.append({ events: events("b", 1, i), state: state(i) });
  }
  return [one, two] as const;
}

const everything = () => undefined;
const ofWorker = (namespace: string) => ({ filter: eventSubject(namespace, "a", "") });

describe.each([
  ["everything", everything, 20],
  ["what one worker has", ofWorker, 0],
] as const)("%s is purged by hand", (_, what, ofOther) => {
  const purge = (namespace: string) =>
    asOperator(nats().url, (manager) => manager.streams.purge(streamOf(namespace), what(namespace)));
  const known = (log: EventLog) => [workers("a"), workers("b")].map((scope) => log.bounds(scope).floor.workerOrdinal);

  test("every server knows it soon, also what it has in memory, whether anyone reads or not", async () => {
    const namespace = freshNamespace();
    const servers = await twoServers(namespace);
    // Of what went before the first look nothing is known.
    await looked(namespace);
    await purge(namespace);
    for (const log of servers) {
      await eventually(() => expect(known(log)).toEqual([20, ofOther]));
      for (const scope of all) await expectExactExpiry(log, scope);
    }
  });

  test("a server that is opened right after it goes on where the others are", async () => {
    // No snapshot but those that this takes.
    setLimit("natsSnapshotMs", 600_000);
    const namespace = freshNamespace();
    const [one, two] = await twoServers(namespace);
    await purge(namespace);
    const three = await server(namespace);
    expect(three.identity).toEqual(one.identity);
    expect(three.state("k")).toEqual(Uint8Array.of(20));
    const { last } = await three.append({ events: events("c", 1) });
    expect(last.ordinal).toBe(41);
    await readAll(three).catch(() => undefined);
    for (const log of [one, two, three]) {
      await eventually(() => expect([...known(log), log.bounds(runtimeScope).head.ordinal]).toEqual([20, ofOther, 41]));
      for (const scope of all) await expectExactExpiry(log, scope);
      expect(log.health().available).toBe(true);
    }
  });
});

/** Waits until the server that looks after the stream has looked at it once: it says how far the log is. */
async function looked(namespace: string): Promise<void> {
  await asOperator(nats().url, async (manager) => {
    const through = (await manager.streams.info(streamOf(namespace))).state.last_seq;
    await eventually(async () => {
      const query = { last_by_subj: `$KV.${bucketOf(namespace)}.identity` };
      const found = await manager.streams.getMessage(`KV_${bucketOf(namespace)}`, query);
      expect(JSON.parse(found?.string() ?? "").highWater.stream).toBeGreaterThanOrEqual(through);
    });
  });
}
