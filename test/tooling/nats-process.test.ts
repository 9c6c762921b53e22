import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { expect, onTestFinished, test } from "vitest";
import { startNats } from "../support/nats.ts";
import { eventually } from "../support/until.ts";

async function connected(servers: readonly string[]) {
  const connection = await connect({ servers: [...servers], maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  onTestFinished(() => connection.close());
  return { manager: await jetstreamManager(connection), client: jetstream(connection) };
}

test("a server that is killed comes back at the same port with what it had", async () => {
  const server = await startNats();
  const { manager, client } = await connected([server.url]);
  await manager.streams.add({ name: "S", subjects: ["s.>"] });
  expect((await client.publish("s.a", "1")).seq).toBe(1);
  await server.kill();
  expect(server.pid).toBeUndefined();
  await server.start();
  expect((await eventually(() => client.publish("s.a", "2", { timeout: 500 }))).seq).toBe(2);
});

test("a server without JetStream, and one with little room", async () => {
  const without = await startNats({ jetStream: false, maxPayload: 4096 });
  const connection = await connect({ servers: without.url });
  expect(connection.info?.jetstream ?? false).toBe(false);
  expect(connection.info?.max_payload).toBe(4096);
  await connection.close();
  const { manager } = await connected([(await startNats({ storeBytes: 1024 * 1024 })).url]);
  await expect(
    manager.streams.add({ name: "S", subjects: ["s"], storage: "file", max_bytes: 2 * 1024 * 1024 }),
  ).rejects.toThrow("insufficient storage");
});
