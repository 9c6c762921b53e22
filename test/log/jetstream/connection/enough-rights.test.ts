import { expect, onTestFinished, test } from "vitest";
import type { EventLog, ReadRequest } from "../../../../src/log/contract.ts";
import { type JetStreamLogOptions, openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { bucketOf, eventSubject, streamOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { MemoryLog } from "../../../../src/log/memory/index.ts";
import { CopyClock, copyLog } from "../../../../src/runtime/migration/copy-log.ts";
import { requireUnserved } from "../../../../src/runtime/migration/unserved.ts";
import { Runtime } from "../../../../src/runtime/runtime.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { ended } from "../../../runtime/jobs/support.ts";
import { type NatsProcess, startNats } from "../../../support/nats.ts";
import { eventually } from "../../../support/until.ts";
import { event, events, readAll, workers } from "../../harness.ts";
import { asOperator } from "../support.ts";
import { usersLacking } from "./permissions.ts";

const namespace = "demo";
const stream = streamOf(namespace);

/** What went wrong in the background: a permission that is missing there shows nowhere else. */
const faults: unknown[] = [];

async function open(nats: NatsProcess, options: Partial<JetStreamLogOptions> = {}): Promise<EventLog> {
  const onError = (error: unknown) => faults.push(error);
  const log = await openJetStreamLog({ servers: [nats.url], namespace, user: "u", password: "p", onError, ...options });
  onTestFinished(() => log.close());
  return log;
}

const refusal = { reason: "limit_exceeded", details: { limit: "storage" } };

async function fill(log: EventLog, bytes: number): Promise<void> {
  for (;;) await log.append({ events: [event("a", "x".repeat(bytes))] });
}

const everythingOf = (workerId: string): ReadRequest => ({
  scope: workers(workerId),
  kinds: undefined,
  after: 0,
  until: Number.MAX_SAFE_INTEGER,
  maxEvents: 100,
  maxBytes: 1024 * 1024,
});

const streamInfo = (nats: NatsProcess) => asOperator(nats.url, ({ streams }) => streams.info(stream));

test("the permissions of the example are enough for all that a log does", async () => {
  setLimit("natsLookMs", 50);
  setLimit("natsSnapshotMs", 100);
  setLimit("natsPurgeAfterMs", 0);
  setLimit("natsRecentBytes", 0);
  const nats = await startNats({
    config: [
      "no_auth_user: operator",
      `authorization { users: [{ user: operator, password: o }, ${usersLacking({ u: undefined })}] }`,
    ],
  });
  const denied = () => nats.log().match(/.*Violation.*/g);

  // A quiet worker's message stays, so that what comes after it goes by subject, and one by one.
  const log = await open(nats, { retention: { workerEvents: 5 } });
  await log.append({ events: [...events("busy", 10), ...events("quiet", 1)] });
  for (let i = 0; i < 300; i++) {
    await log.append({ events: [event("busy", `${i}`), ...(i % 2 === 0 ? [event("other", `${i}`)] : [])] });
  }
  await eventually(async () => {
    const { state } = await streamInfo(nats);
    expect(state.messages).toBeLessThan(100);
    expect(state.num_deleted).toBeGreaterThan(0);
  });
  expect(await readAll(log, { scope: workers("quiet") })).toHaveLength(1);

  // A message that was purged by hand is asked for, and told.
  await log.append({ events: events("gone", 1) });
  await asOperator(nats.url, async ({ streams }) => {
    const found = await streams.getMessage(stream, { last_by_subj: eventSubject(namespace, "gone", "") });
    await streams.deleteMessage(stream, found?.seq as number);
  });
  expect(await log.read(everythingOf("gone"))).toMatchObject({ kind: "expired" });

  // The tail begins anew with a new connection.
  await nats.stop();
  await nats.start();
  await eventually(() => log.append({ events: events("busy", 1) }));
  await log.close();

  const runtime = new Runtime({ log: await open(nats) });
  runtime.operation("work", {}, () => Promise.resolve());
  const { jobId } = await runtime.submit("work");
  await ended(runtime, jobId);
  await runtime.close();

  // Out of NATS and back, into a log that is made for it, and is then filled to the last byte.
  const clock = new CopyClock();
  const copy = new MemoryLog({ clock });
  const source = await open(nats);
  await requireUnserved(source, clock);
  const { events: copied } = await copyLog({ source, target: copy, clock });
  await source.close();
  await asOperator(nats.url, async ({ streams }) => {
    await streams.delete(stream);
    await streams.delete(`KV_${bucketOf(namespace)}`);
  });
  const maxBytes = 500_000;
  const full = await open(nats, { maxBytes, clock });
  expect(await copyLog({ source: copy, target: full, clock })).toEqual({ events: copied });
  for (const bytes of [20_000, 1_000, 1]) await expect(fill(full, bytes)).rejects.toMatchObject(refusal);
  await full.close();
  const roomy = await open(nats, { maxBytes, retention: { events: 5 } });
  await eventually(() => roomy.append({ events: [event("a", "again")] }));
  await eventually(async () =>
    expect((await streamInfo(nats)).config.metadata).not.toHaveProperty("tailrace-max-bytes"),
  );
  await roomy.close();

  expect(denied()).toBeNull();
  expect(faults).toEqual([]);
});
