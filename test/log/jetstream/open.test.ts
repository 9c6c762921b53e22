import { expect, onTestFinished, test, vi } from "vitest";
import type { EventLog } from "../../../src/log/contract.ts";
import { Snapshots } from "../../../src/log/jetstream/bucket/snapshots.ts";
import { StreamTail } from "../../../src/log/jetstream/fold/tail.ts";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { ensureStreams } from "../../../src/log/jetstream/stream/stream.ts";
import { bucketStreamOf, streamOf } from "../../../src/log/jetstream/stream/subjects.ts";
import { setLimit } from "../../conformance/set-limit.ts";
import { natsForFile } from "../../support/nats.ts";
import { events, readAll, texts } from "../harness.ts";
import { asOperator, deleteStream, freshNamespace } from "./support.ts";

const nats = natsForFile();

async function open(namespace: string): Promise<EventLog> {
  const log = await openJetStreamLog({ servers: [nats().url], namespace });
  onTestFinished(() => log.close());
  return log;
}

/** A namespace whose log has some events, and is open nowhere. */
async function closedLog(): Promise<{ readonly namespace: string; readonly before: EventLog }> {
  const namespace = freshNamespace();
  const before = await open(namespace);
  await before.append({ events: events("a", 3) });
  await before.close();
  return { namespace, before };
}

async function isNewGeneration(log: EventLog, before: EventLog): Promise<void> {
  expect(log.identity.generation).not.toBe(before.identity.generation);
  await log.append({ events: events("b", 1) });
  expect(texts(await readAll(log)).at(-1)).toBe("b:1");
}

test.each([
  ["the stream", streamOf],
  ["its bucket", bucketStreamOf],
])("a log is opened also where %s is deleted meanwhile", async (_, nameOf) => {
  const { namespace, before } = await closedLog();
  const { read } = Snapshots.prototype;
  vi.spyOn(Snapshots.prototype, "read").mockImplementationOnce(async function (this: Snapshots) {
    await asOperator(nats().url, ({ streams }) => streams.delete(nameOf(namespace)));
    return read.call(this);
  });
  await isNewGeneration(await open(namespace), before);
});

test("a log is opened also where its stream is made again while it is followed", async () => {
  const { namespace, before } = await closedLog();
  const { open: openTail } = StreamTail;
  vi.spyOn(StreamTail, "open").mockImplementationOnce(async (...args) => {
    await deleteStream(nats().url, namespace);
    await asOperator(nats().url, (manager) => ensureStreams(manager, { namespace, replicas: 1, maxBytes: undefined }));
    // Only now: the opening as a whole has as long as it really has.
    setLimit("natsOpenMs", 500);
    return openTail(...args);
  });
  await isNewGeneration(await open(namespace), before);
});
