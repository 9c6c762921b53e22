import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, type TestContext, test } from "vitest";
import { type EventLog, holdKey } from "../../../src/log/contract.ts";
import { readIdentity, writeIdentity } from "../../../src/log/jetstream/bucket/identity.ts";
import { Lease } from "../../../src/log/jetstream/bucket/lease.ts";
import { Meta } from "../../../src/log/jetstream/bucket/meta.ts";
import { type JetStreamLogOptions, openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { ensureStreams } from "../../../src/log/jetstream/stream/stream.ts";
import { streamOf } from "../../../src/log/jetstream/stream/subjects.ts";
import { natsForFile } from "../../support/nats.ts";
import { until } from "../../support/until.ts";
import { event, readAll, runtimeScope, texts } from "../harness.ts";
import { freshNamespace } from "./support.ts";

const nats = natsForFile();

async function server({ onTestFinished }: TestContext, namespace: string, options: Partial<JetStreamLogOptions> = {}) {
  const log = await openJetStreamLog({ servers: [nats().url], namespace, ...options });
  onTestFinished(() => log.close());
  return log;
}

/** A process that has the log open. What it says is one line each. */
function start({ onTestFinished }: TestContext, script: string, ...args: string[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, script), nats().url, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const acknowledged = () => lines.filter((line) => line.startsWith("ack "));
  return { child, lines, acknowledged, closed: once(child, "close") };
}

/** A process that appends as fast as it can. */
function writer(context: TestContext, namespace: string) {
  return start(context, "writer.ts", namespace, "1");
}

async function connectionOf({ onTestFinished }: TestContext): Promise<NatsConnection> {
  const connection = await connect({ servers: nats().url });
  onTestFinished(() => connection.close());
  return connection;
}

async function metaOf(context: TestContext, namespace: string): Promise<Meta> {
  return Meta.open(await connectionOf(context), namespace);
}

// Each waits for time to pass, so they wait together.
describe.concurrent("several servers", () => {
  test("of several that open at once on a namespace that is new all get the same log, and all may write", async (context) => {
    const namespace = freshNamespace();
    const logs = await Promise.all([1, 2, 3, 4].map(() => server(context, namespace)));
    const [one] = logs as [EventLog];
    for (const log of logs) expect(log.identity).toEqual(one.identity);
    await Promise.all(logs.map((log, i) => log.append({ events: [event("a", `${i}`)] })));
    await until(() => logs.every((log) => log.bounds(runtimeScope).head.sequence === 4), "all to have all");
    expect(texts(await readAll(one)).sort()).toEqual(["0", "1", "2", "3"]);
    expect(logs.map((log) => log.isShared)).toEqual([true, true, true, true]);
    expect(logs.filter((log) => log.isKeeper)).toHaveLength(1);
  });

  test("a log stays the same one, however its mark is raised while servers open it", async (context) => {
    const namespace = freshNamespace();
    const one = await server(context, namespace);
    const meta = await metaOf(context, namespace);
    const manager = await jetstreamManager(await connectionOf(context));
    let stops = false;
    const appending = (async () => {
      while (!stops) await one.append({ events: [event("a", "x")] });
    })();
    const raising = (async () => {
      while (!stops) {
        const found = await readIdentity(meta);
        const { last_seq: stream } = (await manager.streams.info(streamOf(namespace))).state;
        if (found === undefined) continue;
        await writeIdentity(meta, { ...found.identity, highWater: { stream, sequence: stream } }, found.revision);
        // Who opens the log may be first as well.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    for (let i = 0; i < 10; i++) {
      const opened = await Promise.all([1, 2, 3].map(() => openJetStreamLog({ servers: [nats().url], namespace })));
      expect(opened.map(({ identity }) => identity)).toEqual(Array(3).fill(one.identity));
      await Promise.all(opened.map((log) => log.close()));
    }
    stops = true;
    await Promise.all([appending, raising]);
    expect(one.health()).toEqual({ available: true });
  });

  test("of several processes that decide from the same state one wins each time, and the others decide again", async (context) => {
    const namespace = freshNamespace();
    const end = 200;
    const contenders = ["x", "y", "z"].map((name) => start(context, "contender.ts", namespace, name, `${end}`));
    const watching = await server(context, namespace);
    const told: string[] = [];
    watching.subscribeState("count", (_, value) => told.push(new TextDecoder().decode(value)));
    await until(() => contenders.every(({ lines }) => lines.includes("open")), "all to be there");
    for (const { child } of contenders) child.stdin.write("go\n");
    expect(await Promise.all(contenders.map(async ({ closed }) => (await closed)[0]))).toEqual([0, 0, 0]);
    await until(() => told.length === end, "everything to be told");
    const numbers = Array.from({ length: end }, (_, i) => `${i + 1}`);
    expect(texts(await readAll(watching))).toEqual(numbers);
    expect(told).toEqual(numbers);
    const won = contenders.flatMap(({ acknowledged }) => acknowledged().map((line) => Number(line.slice(4))));
    expect(won.sort((a, b) => a - b).map(String)).toEqual(numbers);
    // Who was refused knew why.
    expect(contenders.flatMap(({ lines }) => lines).filter((line) => line === "late")).toEqual([]);
  });

  test("when the keeper ends in order another server is it at once; when it is killed, after a while", async (context) => {
    const namespace = freshNamespace();
    const { child, acknowledged } = writer(context, namespace);
    await until(() => acknowledged().length > 0, "the first to be there");
    const [two, three] = [await server(context, namespace), await server(context, namespace)];
    expect([two.isKeeper, three.isKeeper]).toEqual([false, false]);
    child.kill("SIGKILL");
    await until(() => two.isKeeper || three.isKeeper, "another to be the keeper");
    const [keeper, other] = two.isKeeper ? [two, three] : [three, two];
    expect(other.isKeeper).toBe(false);
    await keeper.close();
    expect(keeper.isKeeper).toBe(false);
    await until(() => other.isKeeper, "the last one to be the keeper");
  });

  test("a keeper that stood still for long goes on as one of the others, and nothing acknowledged is lost", async (context) => {
    const namespace = freshNamespace();
    const { child, acknowledged } = writer(context, namespace);
    await until(() => acknowledged().length > 0, "the first to be there");
    const two = await server(context, namespace, { retention: { workerEvents: 100_000 } });
    child.kill("SIGSTOP");
    await until(() => two.isKeeper, "the other to be the keeper");
    const { last } = await two.append({ events: [event("two", "1")] });
    const before = acknowledged().length;
    child.kill("SIGCONT");
    // What the second wants of retention is what counts: the first wants 2,000.
    const kept = () => two.worker("writer-0")?.retainedEvents ?? 0;
    await until(() => acknowledged().length > before + 20 && kept() > 2_000, "the first to go on");
    expect(two.isKeeper).toBe(true);
    child.kill("SIGKILL");
    await two.append({ events: [event("two", "2")] });
    const after = (await readAll(two)).filter(({ sequence }) => sequence > last.sequence);
    expect(after.map(({ ordinal }) => ordinal)).toEqual(after.map((_, i) => last.ordinal + 1 + i));
    const seen = new Set(after.map(({ sequence }) => sequence));
    const sequences = acknowledged().map((line) => Number(line.split(" ").at(-1)));
    expect(sequences.filter((sequence) => sequence > last.sequence && !seen.has(sequence))).toEqual([]);
  });

  test("one that nobody tells what to hold lets another look after the log, which does", async (context) => {
    const namespace = freshNamespace();
    const retention = { events: 5 };
    const idle = await server(context, namespace, { retention });
    // As a server leaves it that keeps projections.
    await idle.append({ events: [event("a", "0")], state: new Map([[holdKey, new TextEncoder().encode("1")]]) });
    await idle.close();
    const still = await server(context, namespace, { retention });
    expect(still.isKeeper).toBe(true);
    for (let n = 1; n < 20; n++) await still.append({ events: [event("a", `${n}`)] });
    expect(still.worker("a")?.retainedEvents).toBe(19);
    const working = await server(context, namespace, { retention });
    expect(working.isKeeper).toBe(false);
    working.holdAfter(Number.POSITIVE_INFINITY);
    await until(() => working.isKeeper && !still.isKeeper, "the one that was told to look after the log");
    await until(() => still.worker("a")?.retainedEvents === 5, "what is too much to go");
  });

  test("one of several has the lease; another takes it when it is given back, or when nobody renews it", async (context) => {
    const namespace = freshNamespace();
    const manager = await jetstreamManager(await connectionOf(context));
    await ensureStreams(manager, { namespace, replicas: 1, maxBytes: undefined });
    const held = new Set<string>();
    const lease = async (name: string) => new Lease(await metaOf(context, namespace), name, () => held.add(name));
    const [one, two] = [await lease("one"), await lease("two")];
    await Promise.all([one.start(), two.start()]);
    expect([one.isHeld, two.isHeld].filter(Boolean)).toHaveLength(1);
    const [holder, other] = one.isHeld ? [one, two] : [two, one];
    await holder.stop();
    expect(holder.isHeld).toBe(false);
    other.hurry();
    await until(() => other.isHeld, "the other to take it");
    // Somebody who does not renew.
    await other.stop();
    const meta = await metaOf(context, namespace);
    expect(await meta.swap("lease", new TextEncoder().encode("gone"), undefined)).toBeDefined();
    const third = await lease("three");
    await third.start();
    expect(third.isHeld).toBe(false);
    await until(() => third.isHeld, "the one that is gone to count as gone");
    await third.stop();
    expect(held).toEqual(new Set(["one", "two", "three"]));
  });
});
