import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { expect, onTestFinished, test } from "vitest";
import type { EventLog } from "../../../../src/log/contract.ts";
import { allOf, missingRight } from "../../../../src/log/jetstream/connection/rights.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { bucketOf, streamOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { type NatsProcess, startNats } from "../../../support/nats.ts";
import { eventually, until } from "../../../support/until.ts";
import { event, events, readAll } from "../../harness.ts";
import { asOperator, freshNamespace } from "../support.ts";
import { givenSubjects, usersLacking } from "./permissions.ts";

const namespace = "demo";

const makes = (subject: string) => subject.startsWith("$JS.API.STREAM.CREATE.");

/** A line of a server's configuration. */
function users(lacking: Readonly<Record<string, string | undefined>>): string {
  return `authorization { users: [${usersLacking(lacking)}] }`;
}

async function open(nats: NatsProcess, user = "u"): Promise<EventLog> {
  const log = await openJetStreamLog({ servers: [nats.url], namespace, user, password: "p", onError: () => undefined });
  onTestFinished(() => log.close());
  return log;
}

test("a log whose user lacks a permission is not opened, whichever it is, and the sentence says which", async () => {
  // What makes a log is needed while there is none.
  const [made, other] = [givenSubjects.filter((subject) => !makes(subject)), givenSubjects.filter(makes)];
  const parts = [
    "tailrace.demo.e.>",
    "tailrace.demo.c",
    "$KV.TAILRACE_demo_META.lease",
    "$KV.TAILRACE_demo_META.snapshot.>",
  ];
  const lacking = [...other, ...made, ...parts];
  const config = users(Object.fromEntries([["u", undefined], ...lacking.map((subject, i) => [`u${i}`, subject])]));
  const nats = await startNats({ config: [config] });
  let log: EventLog | undefined;
  for (const [i, subject] of lacking.entries()) {
    if (i === other.length) {
      log = await open(nats);
      await log.append({ events: events("w", 3) });
    }
    const error = await open(nats, `u${i}`).then(
      () => "opened",
      (failure: unknown) => failure,
    );
    expect.soft(error, subject).toMatchObject({
      reason: "log_open_failed",
      details: { cause: "denied" },
      message: expect.stringContaining(`no permission for publishing to ${subject.replace(/\.>$/, "")}`),
    });
  }
  expect(await readAll(log as EventLog)).toHaveLength(3);
});

test("nothing is changed by trying what is allowed", async () => {
  const nats = await startNats();
  const name = freshNamespace();
  const log = await openJetStreamLog({ servers: [nats.url], namespace: name });
  await log.append({ events: events("w", 3) });
  await log.close();
  const state = () =>
    asOperator(nats.url, async ({ streams }) => {
      const found = [await streams.info(streamOf(name)), await streams.info(`KV_${bucketOf(name)}`)];
      return found.map(({ config, state }) => ({ config, state }));
    });
  const before = await state();
  const connection = await connect({ servers: nats.url });
  expect(await missingRight(connection, allOf(name))).toBeUndefined();
  await connection.close();
  expect(await state()).toEqual(before);
});

/** What a log says that can't be used; undefined: it can be. */
function complaint(log: EventLog): string | undefined {
  const health = log.health();
  return health.available ? undefined : health.error.message;
}

test("a log that may not write any more says so until it may again", async () => {
  const nats = await startNats({ config: [users({ u: undefined })] });
  const log = await open(nats);
  await log.append({ events: events("w", 1) });
  const file = join(dirname(nats.storeDirectory), "nats.conf");
  const reload = (lacking: string | undefined) => {
    writeFileSync(file, readFileSync(file, "utf8").replace(/^authorization .*$/m, users({ u: lacking })));
    process.kill(nats.pid as number, "SIGHUP");
  };
  reload("tailrace.demo.e.>");
  // Those that were on their way may be there, and none of those that were refused is said to be.
  const refusals: string[] = [];
  let accepted = 1;
  await eventually(async () => {
    const told = await log.append({ events: events("w", 1) }).then(
      () => undefined,
      (error) => error.message,
    );
    if (told === undefined) accepted++;
    else refusals.push(told);
    expect(complaint(log)).toMatch(/^NATS does not let this server write .* publishing to tailrace\.demo\.>\.$/);
  });
  expect(refusals.join()).not.toContain("may or may not");
  await expect(log.append({ events: events("w", 1) })).rejects.toMatchObject({ reason: "log_unavailable" });
  reload(undefined);
  await until(() => log.health().available, "the log to write again");
  // A connection that is made again is looked at before anything was appended.
  await nats.stop();
  await nats.start({ config: [users({ u: "tailrace.demo.c" })] });
  await until(() => complaint(log)?.startsWith("NATS does not let") === true, "the new connection to be tried");
  reload(undefined);
  await until(() => log.health().available, "the log to write once more");
  await log.append({ events: events("w", 1) });
  expect(await readAll(log)).toHaveLength(accepted + 1);
});

test("a server that takes too small messages since it was started again is not written to", async () => {
  const nats = await startNats();
  const log = await openJetStreamLog({ servers: [nats.url], namespace });
  onTestFinished(() => log.close());
  await log.append({ events: events("w", 1) });
  await nats.stop();
  await nats.start({ maxPayload: 64 * 1024 });
  await until(() => complaint(log)?.includes("max_payload") === true, "the log to say what is wrong");
  expect(complaint(log)).toBe(
    "The NATS server of the log takes messages of 65536 bytes at the most, and a log needs 1048576. Set max_payload to 1MB or more on every server of the cluster.",
  );
  await expect(log.append({ events: [event("w", "x".repeat(100_000))] })).rejects.toMatchObject({
    reason: "log_unavailable",
    message: expect.stringContaining("max_payload"),
  });
  await nats.stop();
  await nats.start({});
  await until(() => log.health().available, "the log to be used again");
  await log.append({ events: [event("w", "x".repeat(100_000))] });
  expect(await readAll(log)).toHaveLength(2);
});
