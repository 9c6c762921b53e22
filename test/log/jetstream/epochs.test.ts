import { expect, onTestFinished, test } from "vitest";
import { CursorCodec } from "../../../src/events/cursor.ts";
import type { EventLog } from "../../../src/log/contract.ts";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { natsForFile } from "../../support/nats.ts";
import { startTcpProxy } from "../../support/tcp-proxy.ts";
import { eventually, until } from "../../support/until.ts";
import { events, runtimeScope } from "../harness.ts";
import { freshNamespace } from "./support.ts";

const nats = natsForFile();

async function server(namespace: string, port = nats().port): Promise<EventLog> {
  const servers = [`nats://127.0.0.1:${port}`];
  const log = await openJetStreamLog({ servers, namespace, discoverServers: false });
  onTestFinished(() => log.close());
  return log;
}

/** The cursors of all events as a server tells them. */
function cursorsOf(log: EventLog): string[] {
  const { runtimeId, generation } = log.identity;
  const cursors = new CursorCodec(runtimeId, generation, log.epochs);
  const told: string[] = [];
  log.subscribe(({ length, sequences, ordinals }) => {
    for (let i = 0; i < length; i++) {
      const none = { workerHash: 0, workerOrdinal: 0, jobHash: 0, jobOrdinal: 0 };
      told.push(cursors.encode({ sequence: sequences[i] as number, ordinal: ordinals[i] as number, ...none }));
    }
  });
  return told;
}

/** Waits until servers have come equally far, and gives who began which epoch, as each of them says. */
async function beginnings(...logs: readonly EventLog[]) {
  const heads = () => new Set(logs.map((log) => log.bounds(runtimeScope).head.sequence));
  await until(() => heads().size === 1, "all to have come equally far");
  return logs.map((log) => [...log.epochs.beginnings()]);
}

function expectKnown(log: EventLog, cursors: readonly string[]): void {
  const { runtimeId, generation } = log.identity;
  const codec = new CursorCodec(runtimeId, generation, log.epochs);
  for (const text of cursors) {
    const { position, epoch } = codec.decode(text);
    expect(log.epochs.has(position.sequence, epoch)).toBe(true);
    expect(codec.encode(position)).toBe(text);
  }
}

test("servers that start at once begin epochs one after the other, the same for all, over restarts and snapshots", async () => {
  const namespace = freshNamespace();
  const told: string[] = [];
  const begun: object[] = [];
  for (let round = 0; round < 3; round++) {
    const logs = await Promise.all([server(namespace), server(namespace), server(namespace)]);
    const own = logs.map(cursorsOf);
    for (const log of logs) {
      expect([...log.epochs.beginnings()]).toEqual(begun);
      expectKnown(log, told);
    }
    await Promise.all(logs.flatMap((log) => [1, 2, 3].map((from) => log.append({ events: events("w", 2, from) }))));
    const [first, ...others] = await beginnings(...logs);
    for (const other of others) expect(other).toEqual(first);
    expect(first?.length).toBeGreaterThanOrEqual(3 * (round + 1));
    expect(first?.slice(0, begun.length)).toEqual(begun);
    begun.splice(0, begun.length, ...(first ?? []));
    await until(() => own.every((cursors) => cursors.length === 18), "all to have told everything");
    expect(own[1]).toEqual(own[0]);
    expect(own[2]).toEqual(own[0]);
    told.push(...(own[0] ?? []));
    for (const log of logs) {
      expectKnown(log, told);
      await log.close();
    }
  }
  expect(new Set(told).size).toBe(54);
});

test("a server whose connection breaks while it writes gives up, sends again, and all servers have the same epochs", async () => {
  const namespace = freshNamespace();
  const proxy = await startTcpProxy(nats().port);
  const [one, two] = await Promise.all([server(namespace, proxy.port), server(namespace)]);
  const told = cursorsOf(two);
  for (let round = 0; round < 3; round++) {
    const sent = Array.from({ length: 40 }, (_, i) =>
      eventually(() => one.append({ events: events("w", 1, round * 40 + i + 1) })),
    );
    await two.append({ events: events("v", 1, round + 1) });
    proxy.cut();
    await Promise.all(sent);
  }
  const [first, second] = await beginnings(one, two);
  expect(second).toEqual(first);
  expect(told.length).toBeGreaterThanOrEqual(123);
  for (const log of [one, two, await server(namespace)]) {
    expect([...log.epochs.beginnings()]).toEqual(first);
    expectKnown(log, told);
  }
});
