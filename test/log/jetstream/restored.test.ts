import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { expect, onTestFinished, test } from "vitest";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../src/log/jetstream/stream/subjects.ts";
import type { WatchFrame } from "../../../src/runtime/object-form.ts";
import type { PublishReceipt } from "../../../src/runtime/publishing.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { setLimit } from "../../conformance/set-limit.ts";
import { eventsIn, framesUntil } from "../../runtime/support.ts";
import { startNats } from "../../support/nats.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { startTcpProxy } from "../../support/tcp-proxy.ts";
import { eventually, until } from "../../support/until.ts";
import { events, readAll, runtimeScope, texts } from "../harness.ts";
import { asOperator, freshNamespace } from "./support.ts";

test("a stream that was restored, and has grown to where it was, ends a log that runs and is a new generation", async () => {
  // The connection is lost twice between two looks at the stream.
  setLimit("natsLookMs", 5_000);
  const nats = await startNats();
  const namespace = freshNamespace();
  const proxy = await startTcpProxy(nats.port);
  const options = { servers: [`nats://127.0.0.1:${proxy.port}`], namespace, discoverServers: false };
  const log = await openJetStreamLog(options);
  onTestFinished(() => log.close());
  await log.append({ events: events("a", 2) });
  const stored = join(nats.storeDirectory, "jetstream", "$G", "streams", streamOf(namespace));
  const backup = join(scratchDirectory(), "backup");
  await nats.stop();
  cpSync(stored, backup, { recursive: true });
  await nats.start();
  // What is sent before that waits for seconds, and the stream is looked at meanwhile.
  await until(async () => {
    const answer = await fetch(`${nats.monitorUrl}/connz`);
    return ((await answer.json()) as { num_connections: number }).num_connections > 0;
  }, "the log to be connected again");
  await eventually(() => log.append({ events: events("a", 1, 3) }));
  const { last } = await eventually(() => log.append({ events: events("a", 1, 4) }));
  const newest = () => asOperator(nats.url, async (manager) => (await manager.streams.info(streamOf(namespace))).state);
  const before = (await newest()).last_seq;

  // It must not see the stream as long as that is short.
  proxy.refuse();
  await nats.stop();
  rmSync(stored, { recursive: true });
  cpSync(backup, stored, { recursive: true });
  await nats.start();
  const other = await connect({ servers: nats.url });
  while ((await newest()).last_seq < before + 2) await other.request(`tailrace.${namespace}.c`, "of another history");
  await other.close();
  proxy.heal();

  await until(() => !log.health().available && "ended" in log.health(), "the log to notice");
  const again = await openJetStreamLog({ servers: [nats.url], namespace });
  onTestFinished(() => again.close());
  expect(again.identity.runtimeId).toBe(log.identity.runtimeId);
  expect(again.identity.generation).not.toBe(log.identity.generation);
  expect(texts(await readAll(again))).toEqual(["a:1", "a:2"]);
  expect(again.bounds(runtimeScope).head.sequence).toBeGreaterThan(last.sequence);
});

test("a server that runs through it sees that NATS has forgotten the newest of the stream and of the bucket", async () => {
  const nats = await startNats();
  const options = { servers: [nats.url], namespace: freshNamespace() };
  const log = await openJetStreamLog(options);
  onTestFinished(() => log.close());
  await log.append({ events: events("a", 2) });
  // As a loss of power leaves it where nothing was made durable since.
  const durable = join(scratchDirectory(), "durable");
  await nats.stop();
  cpSync(nats.storeDirectory, durable, { recursive: true });
  await nats.start();
  const { last } = await eventually(() => log.append({ events: events("a", 3, 3) }));
  await nats.kill();
  rmSync(nats.storeDirectory, { recursive: true });
  cpSync(durable, nats.storeDirectory, { recursive: true });
  await nats.start();
  await until(() => !log.health().available && "ended" in log.health(), "the log to notice");
  const again = await openJetStreamLog(options);
  onTestFinished(() => again.close());
  expect(again.identity.generation).not.toBe(log.identity.generation);
  expect(texts(await readAll(again))).toEqual(["a:1", "a:2"]);
  expect(again.bounds(runtimeScope).head.sequence).toBeGreaterThan(last.sequence);
});

test("where nobody runs through it, cursors of what NATS has forgotten are unknown, also once as much is there again", async () => {
  const nats = await startNats();
  const options = { servers: [nats.url], namespace: freshNamespace() };
  const open = async () => new Runtime({ log: await openJetStreamLog(options) });
  const publish = (runtime: Runtime, text: string) =>
    runtime.publish([{ workerId: "w", payload: { case: "custom", value: { type: text } } }]);
  const before = await open();
  const kept = await publish(before, "kept");
  await before.close();
  const durable = join(scratchDirectory(), "durable");
  await nats.stop();
  cpSync(nats.storeDirectory, durable, { recursive: true });
  await nats.start();
  const during = await open();
  const forgotten: PublishReceipt[] = [];
  for (let i = 0; i < 20; i++) forgotten.push(await publish(during, "forgotten"));
  await during.close();
  await nats.stop();
  rmSync(nats.storeDirectory, { recursive: true });
  cpSync(durable, nats.storeDirectory, { recursive: true });
  await nats.start();

  const after = await open();
  onTestFinished(() => after.close());
  const isEvent = (type: string) => (frame: WatchFrame) =>
    eventsIn([frame]).some(({ payload }) => payload.case === "custom" && payload.value.type === type);
  const resume = (receipt: PublishReceipt | undefined) =>
    framesUntil(after.watch({ start: { case: "cursor", value: receipt?.cursor ?? "" } }), isEvent("again"));
  // Nothing in NATS shows it: the generation is the same.
  expect(after.log.identity).toEqual(before.log.identity);
  await publish(after, "again");
  await expect(resume(forgotten.at(-1))).rejects.toMatchObject({ reason: "cursor_unknown" });
  const missed = eventsIn(await resume(kept)).map(({ payload }) => payload.case);
  expect(missed).toEqual(["runtimeStopped", "runtimeStarted", "custom"]);
  for (const _ of forgotten) await publish(after, "again");
  for (const receipt of forgotten) {
    await expect(resume(receipt)).rejects.toMatchObject({ details: { cause: "other_history" } });
  }
  expect(
    eventsIn(await resume(kept))
      .slice(0, 3)
      .map(({ payload }) => payload.case),
  ).toEqual(missed);
});
