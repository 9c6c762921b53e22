import { expect, onTestFinished, test } from "vitest";
import type { EventLog } from "../../../../src/log/contract.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { startHoldingProxy } from "../../../support/holding-proxy.ts";
import { startNats } from "../../../support/nats.ts";
import { eventually, until } from "../../../support/until.ts";
import { event, type Seen, seenOf } from "../../harness.ts";
import { freshNamespace } from "../support.ts";

const workers = ["a", "b", "c"];

test("lines that nobody waits for are in order for everyone, where the connection is lost with some on their way", async () => {
  const nats = await startNats();
  const proxy = await startHoldingProxy(nats.port);
  const namespace = freshNamespace();
  const seen: Seen[][] = [];
  const open = async (port: number): Promise<EventLog> => {
    const log = await openJetStreamLog({ servers: [`nats://127.0.0.1:${port}`], namespace, discoverServers: false });
    onTestFinished(() => log.close());
    const own: Seen[] = [];
    log.subscribe((block) => own.push(...seenOf(block)));
    seen.push(own);
    return log;
  };
  const log = await open(proxy.port);
  await open(nats.port);
  const said: Promise<unknown>[] = [];
  const acknowledged = new Set<string>();
  let lines = 0;
  const say = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const line = `${++lines}`;
      for (const worker of workers) {
        const appended = log.append({ events: [event(worker, line)] });
        // A machine that is slow enough to be without a connection for a second refuses some, or gives them up.
        said.push(appended.then(() => acknowledged.add(`${worker}:${line}`)).catch(() => undefined));
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  for (let round = 0; round < 3; round++) {
    await eventually(() => log.append({ events: [event("begins", `${round}`)] }));
    proxy.hold();
    await say(20);
    proxy.lose();
    await say(20);
    await Promise.all(said);
    await proxy.release();
    await eventually(() => log.append({ events: [event("goes on", `${round}`)] }));
  }
  const isLast = ({ workerId, text }: Seen) => workerId === "goes on" && text === "2";
  await until(() => seen.every((own) => own.some(isLast)), "everyone to have seen everything");
  for (const own of seen) {
    for (const worker of workers) {
      const texts = own.filter(({ workerId }) => workerId === worker).map(({ text }) => text);
      expect(texts).toEqual([...new Set(texts)].sort((one, other) => Number(one) - Number(other)));
    }
    const there = new Set(own.map(({ workerId, text }) => `${workerId}:${text}`));
    expect([...acknowledged].filter((one) => !there.has(one))).toEqual([]);
  }
});
