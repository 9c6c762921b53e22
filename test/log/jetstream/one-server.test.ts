import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect } from "@nats-io/transport-node";
import { describe, expect, type TestContext, test } from "vitest";
import type { EventLog } from "../../../src/log/contract.ts";
import { type JetStreamLogOptions, openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { Lease } from "../../../src/log/jetstream/lease.ts";
import { Meta } from "../../../src/log/jetstream/meta.ts";
import { natsForFile } from "../../support/nats.ts";
import { eventually, until } from "../../support/until.ts";
import { event, events, readAll, runtimeScope, texts } from "../harness.ts";
import { freshNamespace } from "./support.ts";

const nats = natsForFile();

async function server({ onTestFinished }: TestContext, namespace: string, options: Partial<JetStreamLogOptions> = {}) {
  const log = await openJetStreamLog({ servers: [nats().url], namespace, ...options });
  onTestFinished(() => log.close());
  return log;
}

/** A process that appends as fast as it can. What it says is one line each. */
function writer({ onTestFinished }: TestContext, namespace: string) {
  const child = spawn(process.execPath, [join(import.meta.dirname, "writer.ts"), nats().url, namespace, "1", "alone"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const acknowledged = () => lines.filter((line) => line.startsWith("ack "));
  return { child, lines, acknowledged, closed: once(child, "close") };
}

/** Everything that was acknowledged and that retention kept is there, the newest in any case. */
async function expectAll(log: EventLog, acknowledged: readonly string[]): Promise<void> {
  const seen = new Set((await readAll(log)).map(({ sequence }) => sequence));
  const { floor } = log.bounds(runtimeScope);
  const sequences = acknowledged.map((line) => Number(line.split(" ").at(-1)));
  expect(seen).toContain(Math.max(...sequences));
  expect(sequences.filter((sequence) => sequence > floor.sequence && !seen.has(sequence))).toEqual([]);
}

async function metaOf({ onTestFinished }: TestContext, namespace: string): Promise<Meta> {
  const connection = await connect({ servers: nats().url });
  onTestFinished(() => connection.close());
  return Meta.open(connection, namespace, 1);
}

// Each waits for time to pass, so they wait together.
describe.concurrent("leases", () => {
  test("a second server is told who has the log and what to do; once the first has closed it, it opens", async (context) => {
    const namespace = freshNamespace();
    const one = await openJetStreamLog({ servers: [nats().url], namespace });
    await one.append({ events: events("a", 2) });
    await expect(server(context, namespace)).rejects.toMatchObject({
      reason: "log_open_failed",
      details: { cause: "locked" },
      message: expect.stringMatching(
        new RegExp(`process ${process.pid} on .* has the log ${namespace} open.*within 10 s`),
      ),
    });
    // The one that has it is none the wiser, and who only follows may.
    await one.append({ events: events("a", 1, 3) });
    expect(await readAll(await server(context, namespace, { shared: true }))).toHaveLength(3);
    await one.close();
    const two = await server(context, namespace);
    await two.append({ events: events("a", 1, 4) });
    expect(texts(await readAll(two))).toEqual(["a:1", "a:2", "a:3", "a:4"]);
  });

  test("of several that open at once one gets the log", async (context) => {
    const namespace = freshNamespace();
    const results = await Promise.allSettled([1, 2, 3, 4].map(() => server(context, namespace)));
    const refused = results.filter((result) => result.status === "rejected");
    expect(refused.map(({ reason }) => reason.details)).toEqual(Array(3).fill({ cause: "locked" }));
  });

  test("when a server is killed, the next one that is started takes over with everything acknowledged", async (context) => {
    const namespace = freshNamespace();
    const { child, acknowledged, closed } = writer(context, namespace);
    await until(() => acknowledged().length > 50, "some acknowledgements");
    child.kill("SIGKILL");
    await closed;
    const next = await eventually(() => server(context, namespace));
    await expectAll(next, acknowledged());
    await next.append({ events: [event("next", "1")] });
  });

  test("a server that was paused while another took over writes nothing more, and says why", async (context) => {
    const namespace = freshNamespace();
    const { child, lines, acknowledged } = writer(context, namespace);
    await until(() => acknowledged().length > 50, "some acknowledgements");
    child.kill("SIGSTOP");
    const next = await eventually(() => server(context, namespace));
    // What the paused one had on its way may come after this. It depends on what is put here, so it counts for nothing.
    const state = new Map([0, 1, 2].map((writer) => [`writer/${writer}`, Uint8Array.of(1)]));
    const { last } = await next.append({ events: [event("next", "1")], state });
    child.kill("SIGCONT");
    await until(() => lines.some((line) => line.startsWith("ended ")), "the paused one to find out");
    expect(lines.find((line) => line.startsWith("ended "))).toMatch(/Another server has taken over the log/);
    await next.append({ events: [event("next", "2")] });
    const after = (await readAll(next)).filter(({ sequence }) => sequence > last.sequence);
    expect(texts(after)).toEqual(["2"]);
    await expectAll(next, acknowledged());
  });

  test("a server whose lease was removed by hand takes it again and goes on", async (context) => {
    const namespace = freshNamespace();
    const one = await server(context, namespace);
    const connection = await connect({ servers: nats().url });
    context.onTestFinished(() => connection.close());
    const meta = await Meta.open(connection, namespace, 1);
    const removed = await eventually(async () => {
      const found = await meta.get("server");
      await meta.remove("server", found?.revision ?? 0);
      return found;
    });
    const made = await eventually(async () => {
      const found = await meta.get("server");
      expect(found?.value).toEqual(removed?.value);
      return found?.revision ?? 0;
    });
    await until(async () => ((await meta.get("server"))?.revision ?? 0) > made, "it to be renewed");
    await expect(server(context, namespace)).rejects.toMatchObject({ details: { cause: "locked" } });
    await one.append({ events: events("a", 1) });
    expect(one.health()).toEqual({ available: true });
  });

  test("one of several has the lease; another takes it when it is given back, or when nobody renews it", async (context) => {
    const namespace = freshNamespace();
    const taken: string[] = [];
    const lease = async (name: string) => new Lease(await metaOf(context, namespace), () => taken.push(name));
    const [one, two] = [await lease("one"), await lease("two")];
    await Promise.all([one.start(), two.start()]);
    expect([one.isHeld, two.isHeld].filter(Boolean)).toHaveLength(1);
    const [holder, other] = one.isHeld ? [one, two] : [two, one];
    await holder.stop();
    await until(() => other.isHeld, "the other to take it");
    expect(holder.isHeld).toBe(false);
    // Somebody who does not renew.
    await other.stop();
    const meta = await metaOf(context, namespace);
    expect(await meta.swap("lease", new TextEncoder().encode("gone"), undefined)).toBeDefined();
    const third = await lease("three");
    await third.start();
    expect(third.isHeld).toBe(false);
    await until(() => third.isHeld, "the one that is gone to count as gone");
    await third.stop();
    expect(taken).toHaveLength(3);
  });
});
