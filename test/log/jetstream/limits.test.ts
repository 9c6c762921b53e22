import { setImmediate as turn } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { expect, onTestFinished, test } from "vitest";
import { hasReason } from "../../../src/base/errors.ts";
import type { PendingEvent } from "../../../src/log/contract.ts";
import { type JetStreamLogOptions, openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../src/log/jetstream/stream/subjects.ts";
import { natsForFile } from "../../support/nats.ts";
import { until } from "../../support/until.ts";
import { event, events, readAll, runtimeScope, type Seen, seenOf, texts, workers } from "../harness.ts";
import { viewOf } from "../view.ts";
import { asOperator, freshNamespace } from "./support.ts";

const nats = natsForFile();

async function open(namespace: string, options: Partial<JetStreamLogOptions> = {}) {
  const log = await openJetStreamLog({ servers: [nats().url], namespace, ...options });
  onTestFinished(() => log.close());
  return log;
}

function large(workerId: string, i: number): PendingEvent {
  return event(workerId, `${i}`.padEnd(16_000, "."));
}

test("an append larger than a message is there whole, live and read again", async () => {
  const namespace = freshNamespace();
  const one = await open(namespace);
  const told: Seen[] = [];
  one.subscribe((block) => told.push(...seenOf(block)));
  const many = Array.from({ length: 200 }, (_, i) => large(i % 3 === 0 ? "a" : "b", i));
  const state = new Map([["big", new Uint8Array(2_000_000).fill(7)]]);
  const { firstSequence, last } = await one.append({ events: many, state });
  expect(last.sequence).toBe(firstSequence + 199);
  expect(told.map((seen) => seen.text)).toEqual(many.map((_, i) => `${i}`.padEnd(16_000, ".")));
  const { state: stream } = await asOperator(nats().url, (manager) => manager.streams.info(streamOf(namespace)));
  expect(stream.messages).toBeGreaterThan(6);
  // Not from anyone's memory.
  await one.close();
  const two = await open(namespace);
  expect(await readAll(two)).toEqual(told);
  expect(await readAll(two, { scope: workers("b"), maxEvents: 7 })).toEqual(
    told.filter((seen) => seen.workerId === "b"),
  );
  expect(two.state("big")).toEqual(state.get("big"));
});

test("a server that opens later than everything was written folds it in pieces, with messages between that are gone", async () => {
  const namespace = freshNamespace();
  const one = await open(namespace, { retention: { workerEvents: 50 } });
  for (let i = 0; i < 300; i++) await one.append({ events: events(i % 10 === 0 ? "quiet" : "loud", 1, i) });
  const view = await viewOf(one, [runtimeScope, workers("quiet"), workers("loud")]);
  await one.close();
  const two = await open(namespace, { retention: { workerEvents: 50 } });
  expect(await viewOf(two, [runtimeScope, workers("quiet"), workers("loud")])).toEqual(view);
});

test("the stream's own limit is a wall: appends are refused, nothing of them is written, and nothing is removed", async () => {
  const namespace = freshNamespace();
  const log = await open(namespace, { maxBytes: 300_000 });
  const results = await Promise.allSettled(
    Array.from({ length: 30 }, (_, i) => log.append({ events: [large("a", i)] })),
  );
  const refused = results.filter((result) => result.status === "rejected");
  expect(refused.length).toBeGreaterThan(10);
  for (const { reason } of refused) {
    expect(hasReason(reason, "limit_exceeded") && reason.details).toMatchObject({ limit: "storage" });
  }
  const seen = await readAll(log);
  expect(seen).toHaveLength(30 - refused.length);
  expect(seen.map((one) => one.ordinal)).toEqual(seen.map((_, i) => i + 1));
  expect(log.health()).toEqual({ available: true });
});

async function publish(namespace: string, payload: Uint8Array): Promise<void> {
  const connection = await connect({ servers: nats().url });
  await connection.request(`tailrace.${namespace}.c`, payload);
  await connection.close();
}

test("messages that others put into the stream say nothing to any server", async () => {
  const namespace = freshNamespace();
  const one = await open(namespace);
  await one.append({ events: events("a", 2) });
  for (const foreign of ["", "hello", "TR", "TR\u0001\u0000"])
    await publish(namespace, new TextEncoder().encode(foreign));
  const { last } = await one.append({ events: events("a", 1, 3) });
  expect(last).toMatchObject({ sequence: 3, ordinal: 3 });
  const two = await open(namespace);
  expect(await readAll(two)).toEqual(await readAll(one));
});

test("a message of a newer release ends the log with a sentence that says so, also when it is opened", async () => {
  const namespace = freshNamespace();
  const log = await open(namespace);
  await log.append({ events: events("a", 2) });
  await publish(namespace, Uint8Array.of(0x54, 0x52, 99));
  await until(() => !log.health().available, "the log to end");
  expect(log.health()).toMatchObject({ available: false, error: { reason: "log_unavailable" } });
  expect(log.worker("a")?.lastOrdinal).toBe(2);
  await expect(open(namespace)).rejects.toMatchObject({
    reason: "log_open_failed",
    details: { cause: "newer_format" },
    message: expect.stringContaining("newer release"),
  });
});

test("appends that are asked for in one turn of the loop, by one callback after the other, share a message", async () => {
  const namespace = freshNamespace();
  const log = await open(namespace);
  const stream = () => asOperator(nats().url, (manager) => manager.streams.info(streamOf(namespace)));
  const { state: before } = await stream();
  const appends = await Promise.all(
    Array.from({ length: 50 }, (_, i) => {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      setImmediate(() => {
        log.append({ events: events("w", 1, i) }).then(({ firstSequence }) => resolve(firstSequence), reject);
      });
      return promise;
    }),
  );
  expect(appends).toEqual(Array.from({ length: 50 }, (_, i) => (appends[0] ?? 0) + i));
  const { state: after } = await stream();
  // The first one waits for nobody, and what the log says by itself may be among them.
  expect(after.last_seq - before.last_seq).toBeLessThan(10);
});

test("while messages are on their way, appends of several turns of the loop share one, and none waits for others for ever", async () => {
  const namespace = freshNamespace();
  const log = await open(namespace);
  const stream = () => asOperator(nats().url, (manager) => manager.streams.info(streamOf(namespace)));
  const { state: before } = await stream();
  const appends: Promise<unknown>[] = [];
  // No answer comes before all of them are asked for.
  nats().pause();
  for (let i = 0; i < 400; i++) {
    appends.push(log.append({ events: events("w", 1, i) }));
    if (i % 2 === 1) await turn();
  }
  nats().resume();
  await Promise.all(appends);
  const { state: after } = await stream();
  // One for each turn at first, then one for all, and what the log says by itself.
  expect(after.last_seq - before.last_seq).toBeLessThan(20);
  expect(texts(await readAll(log, { scope: workers("w") }))).toEqual(Array.from({ length: 400 }, (_, i) => `w:${i}`));
});
