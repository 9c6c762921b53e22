import { jetstreamManager } from "@nats-io/jetstream";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { limits } from "../../../../src/base/limits.ts";
import { openLink } from "../../../../src/log/jetstream/connection/connect.ts";
import { DirectGets } from "../../../../src/log/jetstream/read/direct-gets.ts";
import { natsForFile } from "../../../support/nats.ts";

const nats = natsForFile();
const stream = "direct-gets";
const messages = 20;

async function open() {
  const link = await openLink({ servers: [nats().url] });
  onTestFinished(() => link.close());
  const manager = await jetstreamManager(link.connection);
  return { link, manager, gets: new DirectGets(link, manager.direct) };
}

beforeAll(async () => {
  const link = await openLink({ servers: [nats().url] });
  const manager = await jetstreamManager(link.connection);
  await manager.streams.add({ name: stream, subjects: [stream], allow_direct: true });
  const client = manager.jetstream();
  for (let i = 1; i <= messages; i++) await client.publish(stream, i === 4 ? "" : String(i));
  await manager.streams.deleteMessage(stream, 7, true);
  await manager.streams.add({ name: `${stream}-large`, subjects: [`${stream}-large`], allow_direct: true });
  const large = new Uint8Array(limits.natsReadBytes / 4);
  for (let i = 1; i <= messages; i++) await client.publish(`${stream}-large`, large);
  await link.close();
});

async function sequences(gets: DirectGets, seq: number, batch: number): Promise<number[]> {
  const found = await gets.getBatch(stream, { seq, batch });
  for (const { seq: own, data } of found) expect(Buffer.from(data).toString()).toBe(own === 4 ? "" : String(own));
  return found.map((message) => message.seq);
}

test("messages in a row come with their sequences, also empty ones, and over one that is gone", async () => {
  const { gets } = await open();
  expect(await sequences(gets, 1, 5)).toEqual([1, 2, 3, 4, 5]);
  expect(await sequences(gets, 5, 4)).toEqual([5, 6, 8, 9]);
  expect(await sequences(gets, 7, 2)).toEqual([8, 9]);
  expect(await sequences(gets, 18, 10)).toEqual([18, 19, 20]);
  expect(await sequences(gets, messages + 1, 5)).toEqual([]);
});

test("an answer ends after so many bytes", async () => {
  const { gets } = await open();
  const found = await gets.getBatch(`${stream}-large`, { seq: 1, batch: messages });
  expect(found.length).toBeGreaterThan(0);
  expect(found.length).toBeLessThanOrEqual(5);
  expect(found.map(({ seq }) => seq)).toEqual(found.map((_, i) => i + 1));
});

test("nothing is left of a question", async () => {
  const { link, gets } = await open();
  const { subscriptions } = (
    link.connection as unknown as { protocol: { subscriptions: { subs: Map<number, unknown> } } }
  ).protocol;
  const before = subscriptions.subs.size;
  for (let i = 0; i < 10; i++) await gets.getBatch(stream, { seq: 1, batch: 5 });
  expect(subscriptions.subs.size).toBe(before);
});

test("a stream that nobody has is an error", async () => {
  const { gets } = await open();
  await expect(gets.getBatch("nowhere", { seq: 1, batch: 5 })).rejects.toMatchObject({ name: "NoResponders" });
});

test("a connection that is lost is an error of the question", async () => {
  const { link, gets } = await open();
  const asked = gets.getBatch(stream, { seq: 1, batch: 5 });
  await link.close();
  await expect(asked).rejects.toMatchObject({ name: "ClosedConnectionError" });
  await expect(gets.getBatch(stream, { seq: 1, batch: 5 })).rejects.toMatchObject({ name: "ClosedConnectionError" });
});
