import type { StreamConfig } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import { describe, expect, onTestFinished, type TestContext, test } from "vitest";
import { OnExpired } from "../../../../gen/tailrace/v1/event_stream_service_pb.ts";
import type { EventLog } from "../../../../src/log/contract.ts";
import { bornNow, noteIdentity, readIdentity } from "../../../../src/log/jetstream/bucket/identity.ts";
import { Meta } from "../../../../src/log/jetstream/bucket/meta.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { ensureStreams } from "../../../../src/log/jetstream/stream/stream.ts";
import { bucketOf, bucketStreamOf, streamOf, subjectsOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { beyondWall } from "../../../../src/log/jetstream/stream/wall.ts";
import { Runtime } from "../../../../src/runtime/runtime.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { framesUntil } from "../../../runtime/support.ts";
import { type NatsCluster, type NatsProcess, natsForFile, startNatsCluster } from "../../../support/nats.ts";
import { eventually, until } from "../../../support/until.ts";
import { events, readAll, runtimeScope, texts } from "../../harness.ts";
import { asOperator, freshNamespace } from "../support.ts";

const nats = natsForFile();

async function openedBy(namespace: string): Promise<EventLog> {
  const log = await openJetStreamLog({ servers: [nats().url], namespace });
  onTestFinished(() => log.close());
  return log;
}

test("a bucket that is deleted ends the log; opened again it is a new generation of the same runtime", async () => {
  const namespace = freshNamespace();
  const logs = [await openedBy(namespace), await openedBy(namespace)] as const;
  const { last } = await logs[0].append({ events: events("a", 5) });
  const seen = texts(await readAll(logs[0]));
  await asOperator(nats().url, (manager) => manager.streams.delete(bucketStreamOf(namespace)));
  for (const log of logs) {
    await until(() => !log.health().available, "the log to notice");
    expect(log.health()).toMatchObject({
      ended: true,
      error: { message: expect.stringContaining("The bucket of the log's stream was deleted. Start the server again") },
    });
  }
  const again = [await openedBy(namespace), await openedBy(namespace)] as const;
  const { firstSequence } = await again[0].append({ events: events("b", 1) });
  expect(firstSequence).toBeGreaterThan(last.sequence);
  for (const log of again) {
    expect(log.identity.runtimeId).toBe(logs[0].identity.runtimeId);
    expect(log.identity.generation).not.toBe(logs[0].identity.generation);
    expect(log.identity).toEqual(again[0].identity);
    await until(() => log.bounds(runtimeScope).head.sequence >= firstSequence, "the log to have all");
    const now = await readAll(log);
    expect(texts(now)).toEqual([...seen, "b:1"]);
    expect(now[0]?.sequence).toBeGreaterThan(last.sequence);
  }
});

test("without its identity a log begins a new generation of the same runtime, whose old cursors can go on behind a gap", async () => {
  const namespace = freshNamespace();
  const open = async () => new Runtime({ log: await openJetStreamLog({ servers: [nats().url], namespace }) });
  const publish = (runtime: Runtime, type: string) =>
    runtime.publish([{ workerId: "w", payload: { case: "custom", value: { type } } }]);
  const before = await open();
  const { cursor } = await publish(before, "before");
  await before.close();
  // As the guide says, by the client's own means.
  const connection = await connect({ servers: nats().url });
  await (await new Kvm(connection).open(bucketOf(namespace))).delete("identity");
  await connection.close();

  const after = await open();
  onTestFinished(() => after.close());
  expect(after.log.identity.runtimeId).toBe(before.log.identity.runtimeId);
  expect(after.log.identity.generation).not.toBe(before.log.identity.generation);
  const resume = (onExpired: OnExpired) =>
    framesUntil(after.watch({ start: { case: "cursor", value: cursor }, onExpired }), () => true);
  await expect(resume(OnExpired.FAIL)).rejects.toMatchObject({ reason: "cursor_unknown" });
  expect(await resume(OnExpired.CONTINUE_WITH_GAP)).toHaveLength(1);
});

test("the stream says of which runtime it is", async () => {
  const namespace = freshNamespace();
  const log = await openJetStreamLog({ servers: [nats().url], namespace, runtimeId: "the runtime" });
  await log.close();
  const { config } = await asOperator(nats().url, (manager) => manager.streams.info(streamOf(namespace)));
  expect(config.metadata).toMatchObject({ "tailrace-runtime-id": "the runtime" });
});

test("the stream says it again after somebody put back what was there before", async () => {
  setLimit("natsLookMs", 20);
  const namespace = freshNamespace();
  const { runtimeId } = (await openedBy(namespace)).identity;
  await asOperator(nats().url, async ({ streams }) => {
    const noted = async () => (await streams.info(streamOf(namespace))).config.metadata?.["tailrace-runtime-id"];
    await streams.update(streamOf(namespace), { metadata: {} });
    await until(async () => (await noted()) === runtimeId, "the stream to say whose it is");
  });
});

test("what the stream says is noted while its limit is raised, and the limit is where it was then", async () => {
  const namespace = freshNamespace();
  const maxBytes = 500_000;
  await asOperator(nats().url, async (manager) => {
    await ensureStreams(manager, { namespace, replicas: 1, maxBytes });
    const found = await manager.streams.info(streamOf(namespace));
    const identity = bornNow(found, undefined, "the runtime");
    await beyondWall(manager, namespace, () => noteIdentity(manager, found, identity));
    const { config } = await manager.streams.info(streamOf(namespace));
    expect(config.max_bytes).toBe(maxBytes);
    expect(config.metadata).toMatchObject({ "tailrace-runtime-id": "the runtime" });
    expect(config.metadata).not.toHaveProperty("tailrace-max-bytes");
  });
});

/** A log whose stream and bucket are each on one server of a cluster, and not on the same one. */
async function apart(cluster: NatsCluster, { onTestFinished }: TestContext, onError: (error: unknown) => void) {
  const namespace = freshNamespace();
  const [holder, bucketHolder] = cluster.servers as [NatsProcess, NatsProcess];
  const connection = await connect({ servers: bucketHolder.url });
  await new Kvm(connection).create(bucketOf(namespace), { placement: { cluster: "test", tags: [bucketHolder.name] } });
  await connection.close();
  await asOperator(holder.url, (manager) =>
    manager.streams.add({
      name: streamOf(namespace),
      subjects: [subjectsOf(namespace)],
      discard: "new",
      allow_direct: true,
      ...({ allow_atomic: true } as object),
      placement: { cluster: "test", tags: [holder.name] },
    } as StreamConfig & { name: string }),
  );
  const log = await openJetStreamLog({ servers: [holder.url], discoverServers: false, namespace, onError });
  onTestFinished(() => log.close());
  expect(await eventually(() => cluster.leaderOf(streamOf(namespace)))).toBe(holder);
  expect(await eventually(() => cluster.leaderOf(bucketStreamOf(namespace)))).toBe(bucketHolder);
  return { namespace, log, holder, bucketHolder };
}

// This and those below wait for time to pass, so they wait together.
test.concurrent("where a server runs that keeps no snapshot, no other one begins a new generation over its head", async ({
  onTestFinished,
}) => {
  const namespace = freshNamespace();
  const log = await openJetStreamLog({ servers: [nats().url], namespace });
  await log.append({ events: events("a", 5) });
  await log.close();
  const bucket = bucketOf(namespace);
  await asOperator(nats().url, async (manager) => {
    await manager.streams.purge(streamOf(namespace));
    await manager.streams.purge(`KV_${bucket}`, { filter: `$KV.${bucket}.snapshot` });
  });
  const connection = await connect({ servers: nats().url });
  onTestFinished(() => connection.close());
  const meta = await Meta.open(connection, namespace);
  const before = await readIdentity(meta);
  // All that is seen of it.
  let isOpening = true;
  const renewing = (async () => {
    let revision = (await meta.get("lease"))?.revision;
    while (isOpening) {
      revision = await meta.swap("lease", Uint8Array.of(1), revision);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  const opening = openJetStreamLog({ servers: [nats().url], namespace });
  await expect(
    opening.finally(() => {
      isOpening = false;
    }),
  ).rejects.toMatchObject({ reason: "log_open_failed", message: expect.stringContaining("no snapshot holds") });
  await renewing;
  expect((await readIdentity(meta))?.identity.generation).toBe(before?.identity.generation);
});

describe.concurrent("a bucket that nobody answers for", () => {
  test("is told the operator once, as is that it answers again, and the log goes on meanwhile", async (context) => {
    const cluster = await startNatsCluster({}, context.onTestFinished);
    const faults: string[] = [];
    const { namespace, log, bucketHolder } = await apart(cluster, context, (error) => {
      const { message } = error as Error;
      // While a server comes back NATS may refuse things for a moment, which is told as well.
      if (/^NATS (does not )?answers? for/.test(message)) faults.push(message);
    });
    await bucketHolder.kill();
    await until(() => faults.length > 0, "the operator to be told");
    await until(() => log.health().available, "the log to be available");
    await eventually(() => log.append({ events: events("a", 3) }));
    await bucketHolder.start();
    await until(() => faults.length > 1, "the operator to be told again");
    expect(faults).toEqual([
      expect.stringContaining(`NATS does not answer for ${bucketStreamOf(namespace)}`),
      `NATS answers for ${bucketStreamOf(namespace)} again. The log is looked after.`,
    ]);
    await until(() => log.health().available, "the log to be available");
  });

  test("keeps a log from being opened, with a sentence that says so, until it is deleted", async (context) => {
    const cluster = await startNatsCluster({}, context.onTestFinished);
    const { namespace, log, holder, bucketHolder } = await apart(cluster, context, () => undefined);
    await bucketHolder.kill();
    const open = (server: NatsProcess) => openJetStreamLog({ servers: [server.url], namespace });
    // A machine that is slow may find something else silent as well.
    await eventually(() =>
      expect(open(holder)).rejects.toMatchObject({
        reason: "log_open_failed",
        details: { cause: "unreachable" },
        message: expect.stringMatching(
          new RegExp(`^NATS at \\S+ answers, but not for ${bucketStreamOf(namespace)} within 15 s\\.`),
        ),
      }),
    );
    // The one server that had it is lost for good.
    await asOperator(holder.url, ({ streams }) => streams.delete(bucketStreamOf(namespace)).catch(() => undefined));
    await until(() => "ended" in log.health(), "the log that runs to notice");
    const again = await eventually(() => open(holder));
    context.onTestFinished(() => again.close());
    expect(again.identity.runtimeId).toBe(log.identity.runtimeId);
    expect(again.identity.generation).not.toBe(log.identity.generation);
  });
});
