import { expect, onTestFinished, test } from "vitest";
import type { EventLog } from "../../../../src/log/contract.ts";
import { type JetStreamLogOptions, openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { beyondWall } from "../../../../src/log/jetstream/stream/wall.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { natsForFile } from "../../../support/nats.ts";
import { eventually } from "../../../support/until.ts";
import { event } from "../../harness.ts";
import { asOperator, freshNamespace } from "../support.ts";

const nats = natsForFile({ storeBytes: 12 * 1024 * 1024 });

async function open(namespace: string, options: Partial<JetStreamLogOptions> = {}): Promise<EventLog> {
  const log = await openJetStreamLog({ servers: [nats().url], namespace, ...options });
  onTestFinished(() => log.close());
  return log;
}

async function fill(log: EventLog, bytes: number): Promise<void> {
  for (;;) await log.append({ events: [event("a", "x".repeat(bytes))] });
}

const full = { reason: "limit_exceeded", details: { limit: "storage" } };

async function worksAgain(log: EventLog): Promise<void> {
  await eventually(() => log.append({ events: [event("a", "again")] }));
}

const streamInfo = (namespace: string) =>
  asOperator(nats().url, (manager) => manager.streams.info(streamOf(namespace)));

const reserved = (namespace: string) =>
  asOperator(nats().url, async (manager) => {
    const filter = { subjects_filter: `$KV.TAILRACE_${namespace}_META.reserve.>` };
    return Object.keys((await manager.streams.info(`KV_TAILRACE_${namespace}_META`, filter)).state.subjects ?? {})
      .length;
  });

test("a server of NATS that is full of what nobody needs takes appends again by itself, and keeps room for the next time", async () => {
  setLimit("natsLookMs", 100);
  setLimit("natsSnapshotMs", 1_000);
  const namespace = freshNamespace();
  const log = await open(namespace, { retention: { events: 20 } });
  for (let round = 0; round < 2; round++) {
    await eventually(async () => expect(await reserved(namespace)).toBe(8));
    // Nothing is removed for any other reason: messages wait for two minutes.
    await expect(fill(log, 100_000)).rejects.toMatchObject(full);
    await eventually(async () => expect((await streamInfo(namespace)).state.bytes).toBeLessThan(4_000_000));
    await worksAgain(log);
  }
  expect(log.health()).toEqual({ available: true });
  await log.close();
});

test("a stream that is full of what is retained takes appends again when it is opened with shorter retention", async () => {
  setLimit("natsLookMs", 100);
  const namespace = freshNamespace();
  const maxBytes = 500_000;
  // To the last byte, so that not even what a keeper says fits. One that was refused sends nothing for a while.
  for (const bytes of [20_000, 1_000, 1]) {
    const one = await open(namespace, { maxBytes });
    await expect(fill(one, bytes)).rejects.toMatchObject(full);
    await one.close();
  }
  const two = await open(namespace, { maxBytes, retention: { events: 5 } });
  await worksAgain(two);
  expect(two.worker("a")?.retainedEvents).toBe(5);
  // The wall is where it was.
  await eventually(async () => {
    const { config, state } = await streamInfo(namespace);
    expect(config.max_bytes).toBe(maxBytes);
    expect(state.bytes).toBeLessThan(maxBytes / 2);
  });
});

test("a limit that was raised by a server that was killed is known for what it is, and lowered", async () => {
  setLimit("natsLookMs", 100);
  const namespace = freshNamespace();
  const maxBytes = 500_000;
  const one = await open(namespace, { maxBytes });
  await one.close();
  const maxNow = async () => (await streamInfo(namespace)).config.max_bytes;
  await asOperator(nats().url, async (manager) => {
    await beyondWall(manager, namespace, async () => {
      expect(await maxNow()).toBeGreaterThan(maxBytes);
      await open(namespace, { maxBytes });
      await eventually(async () => expect(await maxNow()).toBe(maxBytes));
    });
  });
  expect(await maxNow()).toBe(maxBytes);
});
