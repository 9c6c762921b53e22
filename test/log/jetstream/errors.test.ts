import { DiscardPolicy, type JetStreamManager, jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { type ConnectionOptions, connect, type NatsConnection } from "@nats-io/transport-node";
import { expect, onTestFinished, test } from "vitest";
import { invalidRequest } from "../../../src/base/errors.ts";
import { appendErrorOf, openErrorOf, otherConfiguration } from "../../../src/log/jetstream/errors.ts";
import { startNats } from "../../support/nats.ts";

async function connected(options: ConnectionOptions): Promise<{ nats: NatsConnection; manager: JetStreamManager }> {
  const nats = await connect(options);
  onTestFinished(() => nats.close());
  return { nats, manager: await jetstreamManager(nats) };
}

/** What a real server refuses something with. */
async function refusalOf(attempt: Promise<unknown>): Promise<unknown> {
  return attempt.then(
    () => expect.unreachable("it was not refused"),
    (error: unknown) => error,
  );
}

test("what a server refuses while a log is opened says what to do", async () => {
  const deny = 'permissions: { publish: { deny: ["$JS.API.STREAM.CREATE.>"] } }';
  const server = await startNats({
    storeBytes: 1024 * 1024,
    config: [`authorization { users: [{ user: u, password: p }, { user: less, password: p, ${deny} }] }`],
  });
  const { manager } = await connected({ servers: server.url, user: "u", pass: "p" });
  const file = { name: "S", subjects: ["s.>"], storage: StorageType.File, max_bytes: 1024 };
  const says = (error: unknown) => openErrorOf("a:4222", error, 3);

  expect(says(await refusalOf(manager.streams.add({ ...file, num_replicas: 3 })))).toMatchObject({
    reason: "log_open_failed",
    details: { cause: "unsupported" },
    message: expect.stringMatching(/^NATS at a:4222 has not enough servers for 3 replicas of the log\. Join/),
  });
  expect(says(await refusalOf(manager.streams.add({ ...file, max_bytes: 10 * 1024 * 1024 })))).toMatchObject({
    details: { cause: "full" },
    message: expect.stringMatching(/^NATS at a:4222 has no room left .* Give JetStream or the account more storage/),
  });
  await manager.streams.add(file);
  const existing = await refusalOf(manager.streams.add({ ...file, storage: StorageType.Memory }));
  const differences = [{ name: "storage", wanted: "file", found: "memory" }];
  expect(otherConfiguration([{ stream: "S", differences }], existing)).toMatchObject({
    details: { cause: "other_configuration" },
    message: expect.stringMatching(
      /^The stream S exists with another configuration: storage is "memory" instead of "file"\./,
    ),
  });
  expect(says(await refusalOf(manager.streams.add({ ...file, name: "T", subjects: ["s.a"] })))).toMatchObject({
    details: { cause: "other_configuration" },
    message: expect.stringMatching(/^Another stream .* choose another namespace\.$/),
  });
  const { manager: less } = await connected({ servers: server.url, user: "less", pass: "p" });
  expect(says(await refusalOf(less.streams.add({ ...file, name: "T", subjects: ["t"] })))).toMatchObject({
    details: { cause: "denied" },
    message: expect.stringMatching(/no permission for publishing to \$JS\.API\.STREAM\.CREATE\.T\./),
  });
  const ours = invalidRequest("namespace", "is too long");
  expect(says(ours)).toBe(ours);
});

test("a write that finds no room is refused, and one without an answer may have been made", async () => {
  const server = await startNats({ storeBytes: 300 * 1024 });
  const { nats, manager } = await connected({ servers: server.url, reconnect: false });
  const walled = { subjects: ["wall"], max_bytes: 1024, discard: DiscardPolicy.New };
  await manager.streams.add({ name: "WALL", ...walled });
  await manager.streams.add({ name: "DISK", subjects: ["disk"] });
  const client = jetstream(nats);
  const wall = await refusalOf(client.publish("wall", "x".repeat(2048)));
  const fill = async () => {
    for (;;) await client.publish("disk", "x".repeat(32 * 1024));
  };
  for (const error of [wall, await refusalOf(fill())]) {
    expect(appendErrorOf(error, 1)).toMatchObject({
      reason: "limit_exceeded",
      details: { limit: "storage", maximum: 0, retryAfterMs: expect.any(Number) },
      cause: error,
    });
  }
  const other = await refusalOf(client.publish("disk", "x", { expect: { streamName: "WALL" } }));
  expect(appendErrorOf(other, 1)).toMatchObject({
    reason: "log_unavailable",
    message: expect.stringContaining("Nothing was written"),
  });
  const nobody = await refusalOf(client.publish("no.stream", "x"));
  await nats.close();
  const closed = await refusalOf(client.publish("wall", "x"));
  for (const error of [nobody, closed]) {
    expect(appendErrorOf(error, 7)).toMatchObject({
      reason: "log_unavailable",
      details: { sinceMs: 7, retryAfterMs: expect.any(Number) },
    });
    expect(appendErrorOf(error, 7).message).not.toContain("127.0.0.1");
  }
});

test("who asks for fewer replicas than there are is told to ask for those before anything that lowers them", () => {
  const replicas = (stream: string, found: number, wanted: number) => ({
    stream,
    differences: [{ name: "num_replicas", wanted, found }],
  });
  expect(otherConfiguration([replicas("S", 3, 1), replicas("B", 3, 1)]).message).toMatch(
    /To keep its replicas, ask for 3 \(--replicas 3, in code replicas: 3\)\. Else change them to that \(nats stream edit S; nats stream edit B\)/,
  );
  expect(otherConfiguration([replicas("B", 3, 1)]).message).toMatch(/ask for 3 .* Else change it to that/);
  expect(otherConfiguration([replicas("S", 1, 3)]).message).toMatch(/instead of 3\. Change it to that/);
});
