import { DiscardPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream";
import { Kvm, type KvOptions } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import { expect, onTestFinished, test } from "vitest";
import { isNoAnswer } from "../../../../src/log/jetstream/errors.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { streamInfo } from "../../../../src/log/jetstream/stream/info.ts";
import { ensureStreams, findStream, isNoStream } from "../../../../src/log/jetstream/stream/stream.ts";
import { bucketOf, bucketStreamOf, streamOf, subjectsOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { natsForFile, startNatsCluster } from "../../../support/nats.ts";
import { eventually, until } from "../../../support/until.ts";
import { events } from "../../harness.ts";
import { asOperator, freshNamespace } from "../support.ts";

const nats = natsForFile();

type Settings = Partial<StreamConfig> & {
  readonly persist_mode?: string;
  readonly allow_atomic?: boolean;
};

async function makeStream(namespace: string, settings: Settings): Promise<void> {
  await asOperator(nats().url, ({ streams }) =>
    streams.add({
      name: streamOf(namespace),
      subjects: [subjectsOf(namespace)],
      storage: StorageType.File,
      discard: "new",
      allow_direct: true,
      ...({ allow_atomic: true } as object),
      ...settings,
    } as StreamConfig & { name: string }),
  );
}

async function makeBucket(namespace: string, options: Partial<KvOptions>): Promise<void> {
  const connection = await connect({ servers: nats().url });
  await new Kvm(connection).create(bucketOf(namespace), options);
  await connection.close();
}

async function open(namespace: string, replicas = 1, servers: readonly string[] = [nats().url]): Promise<void> {
  const log = await openJetStreamLog({ servers, namespace, replicas });
  onTestFinished(() => log.close());
}

/** Opens a log whose stream an operator has made. */
async function openWith(settings: Settings): Promise<void> {
  const namespace = freshNamespace();
  await makeStream(namespace, settings);
  await open(namespace);
}

/** Opens a log whose bucket an operator has made. */
async function openWithBucket(options: Partial<KvOptions>): Promise<void> {
  const namespace = freshNamespace();
  await makeBucket(namespace, options);
  await open(namespace);
}

function refusal(says: string) {
  return {
    reason: "log_open_failed",
    details: { cause: "other_configuration" },
    message: expect.stringContaining(says),
  };
}

test("a stream that others made is taken if a log can be in it", async () => {
  await openWith({});
  await openWith({ max_msg_size: 1024 * 1024 });
  await asOperator(nats().url, ({ streams }) => streams.add({ name: "outside", subjects: ["outside.>"] }));
  const cases: readonly (readonly [Settings, string])[] = [
    [{ max_msg_size: 1024 * 1024 - 1 }, "max_msg_size is 1048575 instead of -1"],
    [{ deny_delete: true }, "deny_delete is true instead of false"],
    [{ deny_purge: true }, "deny_purge is true instead of false"],
    // The server takes it only without atomic batches.
    [{ persist_mode: "async", allow_atomic: false }, 'persist_mode is "async" instead of "default"'],
    [{ max_msgs: 50, discard: "old" } as Settings, 'discard is "old" instead of "new", max_msgs is 50 instead of -1'],
    [{ max_consumers: 2 }, "max_consumers is 2 instead of -1"],
    [{ no_ack: true }, "no_ack is true instead of false"],
    [
      { subject_transform: { src: ">", dest: "moved.>" } },
      'subject_transform is {"src":">","dest":"moved.>"} instead of not set',
    ],
    [{ sources: [{ name: "outside" }] }, 'sources is [{"name":"outside"'],
    [{ consumer_limits: { max_ack_pending: 5 } }, 'consumer_limits is {"max_ack_pending":5} instead of not set'],
  ];
  for (const [settings, says] of cases) {
    await expect(openWith(settings), says).rejects.toMatchObject(refusal(says));
  }
});

test("a bucket that others made is taken if nothing is lost or refused in it", async () => {
  await openWithBucket({});
  const cases: readonly (readonly [Partial<KvOptions>, string])[] = [
    [{ ttl: 5_000 }, "max_age is 5000000000 instead of 0"],
    [{ storage: StorageType.Memory }, 'storage is "memory" instead of "file"'],
    [{ max_bytes: 100_000 }, "max_bytes is 100000 instead of -1"],
    [{ maxValueSize: 1_000 }, "max_msg_size is 1000 instead of -1"],
    [{ history: 5 }, "max_msgs_per_subject is 5 instead of 1"],
  ];
  for (const [options, says] of cases) {
    await expect(openWithBucket(options), says).rejects.toMatchObject(refusal(says));
  }
});

test("what is wrong of the stream and of the bucket is said at once, and nothing is made", async () => {
  const namespace = freshNamespace();
  await makeStream(namespace, { max_msgs: 50 });
  await expect(open(namespace)).rejects.toMatchObject(refusal("max_msgs"));
  const bucket = bucketStreamOf(namespace);
  await expect(asOperator(nats().url, ({ streams }) => streams.info(bucket))).rejects.toThrow("stream not found");
  await makeBucket(namespace, { ttl: 5_000 });
  const stream = streamOf(namespace);
  await expect(open(namespace)).rejects.toMatchObject(
    refusal(
      `The stream ${stream} exists with another configuration: max_msgs is 50 instead of -1. The stream ${bucket} exists with another configuration: max_age is 5000000000 instead of 0. Change them to that (nats stream edit ${stream}; nats stream edit ${bucket}), or choose another namespace.`,
    ),
  );
});

test("a stream that another server makes in the same moment is taken, with what it noted there", async () => {
  const namespace = freshNamespace();
  const options = { namespace, replicas: 1, maxBytes: undefined };
  await asOperator(nats().url, async (manager) => {
    const { streams } = manager;
    const add = streams.add.bind(streams);
    streams.add = async (config) => {
      await open(namespace);
      return add(config);
    };
    await ensureStreams(manager, options);
  });
});

test("a stream that is not made for another one that is gone by then counts as not there", async () => {
  const namespace = freshNamespace();
  await asOperator(nats().url, async (manager) => {
    const { streams } = manager;
    const add = streams.add.bind(streams);
    streams.add = async (config) => {
      await add({ ...config, max_bytes: 500_000 });
      try {
        return await add(config);
      } finally {
        await streams.delete(config.name);
      }
    };
    const error = await ensureStreams(manager, { namespace, replicas: 1, maxBytes: undefined }).catch(
      (thrown) => thrown,
    );
    expect(isNoStream(error)).toBe(true);
  });
});

test("settings that are changed while a log runs are told the operator once, and that they fit again", async () => {
  setLimit("natsLookMs", 20);
  const namespace = freshNamespace();
  const faults: string[] = [];
  const onError = (error: unknown) => faults.push((error as Error).message);
  const log = await openJetStreamLog({ servers: [nats().url], namespace, onError });
  onTestFinished(() => log.close());
  const stream = streamOf(namespace);
  const update = (config: Partial<StreamConfig>) =>
    asOperator(nats().url, (manager) => manager.streams.update(stream, config));
  await update({ max_msgs: 50, discard: DiscardPolicy.Old });
  await until(() => faults.length > 0, "the operator to be told");
  await log.append({ events: events("w", 3) });
  await update({ max_msgs: -1, discard: DiscardPolicy.New });
  await until(() => faults.length > 1, "the operator to be told again");
  expect(faults).toEqual([
    `The stream ${stream} was changed: discard is "old" instead of "new", max_msgs is 50 instead of -1. Until it is changed back (nats stream edit ${stream}), or the servers are started again with options that say the same, events may be lost or refused.`,
    `The stream ${stream} has the settings of the log again.`,
  ]);
});

test("a log that is to have more replicas has them in its bucket as well once what is said was done", async () => {
  const { urls } = await startNatsCluster();
  const namespace = freshNamespace();
  const first = await openJetStreamLog({ servers: urls, namespace });
  await first.close();
  const [stream, bucket] = [streamOf(namespace), bucketStreamOf(namespace)];
  const error = await open(namespace, 3, urls).catch((thrown) => thrown);
  expect(error.message).toContain("num_replicas is 1 instead of 3");
  const edited = [...error.message.matchAll(/nats stream edit ([^;)]+)/g)].map(([, name]) => name);
  expect(edited).toEqual([stream, bucket]);
  await asOperator(urls[0] as string, (manager) => manager.streams.update(stream, { num_replicas: 3 }));
  await expect(open(namespace, 3, urls)).rejects.toMatchObject(
    refusal(`The stream ${bucket} exists with another configuration: num_replicas is 1 instead of 3.`),
  );
  await asOperator(urls[0] as string, (manager) => manager.streams.update(bucket, { num_replicas: 3 }));
  await eventually(() => open(namespace, 3, urls));
  await expect(open(namespace, 1, urls)).rejects.toMatchObject(
    refusal("To keep its replicas, ask for 3 (--replicas 3"),
  );
});

test("a server that knows no leader of a stream is not believed what the stream has, and is asked again", async () => {
  const answers = [{ leader: "" }, {}, { leader: "n2" }];
  let asked = 0;
  const told = (cluster: unknown) => ({ cluster, state: { last_seq: ++asked } });
  const streams = { info: async () => told(answers[Math.min(asked, answers.length - 1)]) };
  const found = await streamInfo({ streams } as never, "s");
  expect(found.state.last_seq).toBe(3);
  const cutOff = { info: async () => told({ name: "c" }) };
  const error = await findStream({ streams: cutOff } as never, "s").catch((reason: unknown) => reason);
  expect(isNoAnswer(error)).toBe(true);
  const alone = { info: async () => told(undefined) };
  await expect(findStream({ streams: alone } as never, "s")).resolves.toMatchObject({ state: {} });
});
