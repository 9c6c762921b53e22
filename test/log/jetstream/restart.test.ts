import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test } from "vitest";
import { hasReason } from "../../../src/base/errors.ts";
import type { EventLog } from "../../../src/log/contract.ts";
import { type JetStreamLogOptions, openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { bucketOf, streamOf } from "../../../src/log/jetstream/stream/subjects.ts";
import { type NatsProcess, startNats } from "../../support/nats.ts";
import { scratchDirectory } from "../../support/scratch.ts";
import { eventually, until } from "../../support/until.ts";
import { event, events, readAll, runtimeScope, type Seen, seenOf, texts } from "../harness.ts";
import { viewOf } from "../view.ts";
import { asOperator, deleteStream, freshNamespace } from "./support.ts";

async function server(
  nats: NatsProcess,
  namespace: string,
  options: Partial<JetStreamLogOptions> = {},
  context = { onTestFinished },
) {
  const log = await openJetStreamLog({ servers: [nats.url], namespace, ...options });
  context.onTestFinished(() => log.close());
  return log;
}

test("what was acknowledged is there after the server was killed, and another one goes on meanwhile", async () => {
  const nats = await startNats();
  const namespace = freshNamespace();
  const other = await server(nats, namespace, { retention: { workerEvents: 2000 } });
  const told: Seen[] = [];
  other.subscribe((block) => told.push(...seenOf(block)));
  const acknowledged: { text: string; sequence: number }[] = [];
  for (const life of ["1", "2"]) {
    const writer = join(import.meta.dirname, "writer.ts");
    const child = spawn(process.execPath, [writer, nats.url, namespace, life], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const closed = once(child, "close");
    onTestFinished(() => void child.kill("SIGKILL"));
    let inThisLife = 0;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [what, who, n, count, first] = line.split(" ");
      if (what !== "ack") return;
      inThisLife++;
      for (let i = 0; i < Number(count); i++) {
        acknowledged.push({ text: `${life}/${who}/${n}/${i}`, sequence: Number(first) + i });
      }
    });
    await until(() => inThisLife > 200, "some acknowledgements");
    child.kill("SIGKILL");
    await closed;
  }
  await other.append({ events: [event("end", "end")] });
  // The other server had everything live, once and in order.
  expect(told.map((one) => one.ordinal)).toEqual(told.map((_, i) => i + 1));
  const bySequence = new Map(told.map((one) => [one.sequence, one.text]));
  expect(acknowledged.filter((one) => bySequence.get(one.sequence) !== one.text)).toEqual([]);
  // And one that opens now finds the same.
  const late = await server(nats, namespace, { retention: { workerEvents: 2000 } });
  expect(late.identity).toEqual(other.identity);
  expect(await viewOf(late, [runtimeScope])).toEqual(await viewOf(other, [runtimeScope]));
  expect(await readAll(late)).toEqual(told.filter((one) => one.sequence > late.bounds(runtimeScope).floor.sequence));
});

// Both wait until NATS is given up.
describe.concurrent("an outage", () => {
  test("while NATS is away appends are refused; when it is back subscribers have everything once", async (context) => {
    const nats = await startNats({ syncAlways: true }, context.onTestFinished);
    const namespace = freshNamespace();
    const [one, two] = [await server(nats, namespace, {}, context), await server(nats, namespace, {}, context)];
    const told: string[] = [];
    two.subscribe((block) => told.push(...texts(seenOf(block))));
    await one.append({ events: events("a", 3) });
    await nats.kill();
    const refused = await one.append({ events: [event("a", "lost?")] }).catch((error) => error);
    expect(hasReason(refused, "log_unavailable")).toBe(true);
    await until(() => !one.health().available, "the log to say that it is away");
    await expect(one.append({ events: [event("a", "refused")] })).rejects.toMatchObject({ reason: "log_unavailable" });
    // What is in memory can be read all the same.
    expect(await readAll(one)).toHaveLength(3);
    await nats.start();
    await until(() => one.health().available && two.health().available, "the connections to be back");
    const { last } = await eventually(() => one.append({ events: [event("b", "back")] }));
    await until(() => two.bounds(runtimeScope).head.sequence >= last.sequence, "the other to have it");
    const seen = await readAll(one);
    expect(texts(await readAll(two))).toEqual(texts(seen));
    expect(told).toEqual(texts(seen));
    expect(told).not.toContain("refused");
    expect(told.filter((text) => text === "back")).toHaveLength(told.filter((text) => text !== "lost?").length - 3);
  });

  test("what was refused while NATS stood still may come late: who tries again by what the state says writes once", async (context) => {
    const nats = await startNats({}, context.onTestFinished);
    const namespace = freshNamespace();
    const [one, two] = [await server(nats, namespace, {}, context), await server(nats, namespace, {}, context)];
    const told: string[] = [];
    two.subscribe((block) => told.push(...texts(seenOf(block))));
    await one.append({ events: events("a", 2) });
    nats.pause();
    const publish = () =>
      one.append({ events: [event("p", "once")], state: new Map([["producer/p", Uint8Array.of(1)]]) });
    // Refused, unless somebody else lets NATS go on.
    await publish().catch((error) => expect(hasReason(error, "log_unavailable")).toBe(true));
    nats.resume();
    await eventually(async () => {
      // As a producer's retry is checked: what is there is not written again.
      if (one.state("producer/p")?.[0] !== 1) await publish();
    });
    const { last } = await eventually(() => one.append({ events: [event("z", "end")] }));
    await until(() => two.bounds(runtimeScope).head.sequence >= last.sequence, "the other to have it");
    expect(texts(await readAll(one)).filter((text) => text === "once")).toEqual(["once"]);
    expect(told).toEqual(texts(await readAll(one)));
    expect(texts(await readAll(two))).toEqual(told);
  });
});

test("a stream that is deleted ends the log; opened again it is a new generation that uses no sequence again", async () => {
  const nats = await startNats();
  const namespace = freshNamespace();
  const log = await server(nats, namespace);
  const { last } = await log.append({ events: events("a", 5) });
  await deleteStream(nats.url, namespace);
  await until(() => !log.health().available, "the log to notice");
  expect(log.health()).toMatchObject({ ended: true });
  await expect(log.append({ events: events("a", 1) })).rejects.toMatchObject({ reason: "log_unavailable" });
  const again = await eventually(() => server(nats, namespace));
  expect(again.identity.runtimeId).toBe(log.identity.runtimeId);
  expect(again.identity.generation).not.toBe(log.identity.generation);
  const { firstSequence } = await again.append({ events: events("a", 1) });
  expect(firstSequence).toBeGreaterThan(last.sequence);
});

test("a stream whose messages were removed before anyone kept what they said is a new generation", async () => {
  const nats = await startNats();
  const namespace = freshNamespace();
  const first = await openJetStreamLog({ servers: [nats.url], namespace });
  await first.append({ events: events("a", 5) });
  await first.close();
  await asOperator(nats.url, async (manager) => {
    await manager.streams.purge(streamOf(namespace));
    const bucket = bucketOf(namespace);
    await manager.streams.purge(`KV_${bucket}`, { filter: `$KV.${bucket}.snapshot` });
  });
  const second = await server(nats, namespace);
  expect(second.identity.generation).not.toBe(first.identity.generation);
  expect(await readAll(second)).toEqual([]);
  await second.append({ events: events("a", 1) });
  expect(await readAll(await server(nats, namespace))).toEqual(await readAll(second));
});

test("a stream restored from an older backup is a new generation, with what the backup holds", async () => {
  const nats = await startNats();
  const namespace = freshNamespace();
  const first = await openJetStreamLog({ servers: [nats.url], namespace });
  await first.append({ events: events("a", 4) });
  await first.close();
  await nats.stop();
  const backup = join(scratchDirectory(), "backup");
  const stored = join(nats.storeDirectory, "jetstream", "$G", "streams", streamOf(namespace));
  cpSync(stored, backup, { recursive: true });
  await nats.start();
  const second = await openJetStreamLog({ servers: [nats.url], namespace });
  expect(second.identity).toEqual(first.identity);
  const { last } = await second.append({ events: events("a", 3, 5) });
  await second.close();
  await nats.stop();
  rmSync(stored, { recursive: true });
  cpSync(backup, stored, { recursive: true });
  await nats.start();
  const third = await server(nats, namespace);
  expect(third.identity.generation).not.toBe(second.identity.generation);
  expect(texts(await readAll(third))).toEqual(["a:1", "a:2", "a:3", "a:4"]);
  const { firstSequence } = await third.append({ events: [event("a", "new")] });
  expect(firstSequence).toBeGreaterThan(last.sequence);
  const fourth: EventLog = await server(nats, namespace);
  expect(fourth.identity).toEqual(third.identity);
  expect(await viewOf(fourth, [runtimeScope])).toEqual(await viewOf(third, [runtimeScope]));
});
