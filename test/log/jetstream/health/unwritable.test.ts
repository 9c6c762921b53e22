import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { EventLog } from "../../../../src/log/contract.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { streamOf, subjectsOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { startNats } from "../../../support/nats.ts";
import { startDeafProxy } from "../../../support/nats-deaf-proxy.ts";
import { eventually, until } from "../../../support/until.ts";
import { events, readAll, runtimeScope } from "../../harness.ts";
import { usersLacking } from "../connection/permissions.ts";
import { asOperator } from "../support.ts";

const namespace = "demo";

async function open(url: string, user?: string): Promise<EventLog> {
  const credentials = user === undefined ? {} : { user, password: "p" };
  // That a stream was changed is told as well.
  const log = await openJetStreamLog({ servers: [url], namespace, ...credentials, onError: () => undefined });
  onTestFinished(() => log.close());
  return log;
}

/** What a log says that can't be used, and whether it can be read; undefined: it can be used. */
function complaint(log: EventLog): string | undefined {
  const health = log.health();
  return health.available ? undefined : `${health.error.message} ${health.reads ?? false}`;
}

const append = (log: EventLog) => log.append({ events: events("w", 1) });

test("a log whose writes are not acknowledged refuses them until they are, and goes on to be read", async () => {
  setLimit("natsAcknowledgeMs", 2_000);
  setLimit("natsProbeMs", 100);
  const nats = await startNats();
  const proxy = await startDeafProxy(nats.port, (subject) => subject.startsWith(`tailrace.${namespace}.`));
  const [one, other] = [await open(`nats://127.0.0.1:${proxy.port}`), await open(nats.url)];
  await append(one);
  proxy.isDeaf = true;
  await expect(append(one)).rejects.toMatchObject({ message: expect.stringMatching(/may or may not be there/) });
  await until(() => complaint(one) !== undefined, "the log to say that nothing is acknowledged");
  expect(complaint(one)).toBe("NATS does not acknowledge what is written to the log. true");
  await expect(append(one)).rejects.toMatchObject({ message: expect.stringMatching(/^NATS does not acknowledge/) });
  // What another server appends comes, and can be read and waited for.
  const { last } = await append(other);
  await until(() => one.bounds(runtimeScope).head.sequence === last.sequence, "the event of the other");
  expect(await readAll(one)).toHaveLength(2);
  expect(await one.reach(last.sequence + 1)).toBe(false);
  proxy.isDeaf = false;
  await until(() => complaint(one) === undefined, "the log to find out that writes are taken");
  await eventually(() => append(one));
});

test("a log whose stream takes its events no more says so, also while it takes other writes, and finds out when it does", async () => {
  setLimit("natsProbeMs", 100);
  setLimit("natsRefusedMs", 300);
  const nats = await startNats();
  const log = await open(nats.url);
  await append(log);
  const take = (...subjects: string[]) =>
    asOperator(nats.url, (manager) => manager.streams.update(streamOf(namespace), { subjects }));
  await take(`tailrace.${namespace}.c`);
  await append(log).catch(() => undefined);
  await until(() => complaint(log) !== undefined, "the log to say that nothing takes its events");
  expect(complaint(log)).toBe("NATS does not take what is written to the log: there is no stream that takes it. true");
  await expect(append(log)).rejects.toMatchObject({ message: expect.stringMatching(/^NATS does not take/) });
  await take(subjectsOf(namespace));
  await until(() => complaint(log) === undefined, "the log to find out that its events are taken");
  await append(log);
  // It can't be taken back.
  await asOperator(nats.url, (manager) => manager.streams.update(streamOf(namespace), { sealed: true } as object));
  await eventually(async () => {
    await append(log).catch(() => undefined);
    expect(complaint(log)).toMatch(/^NATS does not take what is written to the log: .*sealed stream.* true$/);
  });
});

test("a server that NATS sends nothing any more says so, and goes on where it was once it does", async () => {
  setLimit("natsLookMs", 50);
  setLimit("natsStuckMs", 500);
  const config = (lacking: string | undefined) => [
    "no_auth_user: operator",
    `authorization { users: [{ user: operator, password: o }, ${usersLacking({ u: lacking })}] }`,
  ];
  const nats = await startNats({ config: config(undefined) });
  const [one, other] = [await open(nats.url, "u"), await open(nats.url)];
  await append(one);
  const file = join(dirname(nats.storeDirectory), "nats.conf");
  const allow = (lacking: string | undefined) => {
    const users = config(lacking)[1] as string;
    writeFileSync(
      file,
      readFileSync(file, "utf8").replace(/^authorization .*$/m, () => users),
    );
    process.kill(nats.pid as number, "SIGHUP");
  };
  allow(`$JS.API.CONSUMER.MSG.NEXT.${streamOf(namespace)}.>`);
  await eventually(async () => {
    await eventually(() => append(other));
    expect(complaint(one)).toBe("NATS has newer events in the log than it sends to this server. false");
  });
  await expect(append(one)).rejects.toMatchObject({ reason: "log_unavailable" });
  allow(undefined);
  const { last } = await eventually(() => append(other));
  await until(() => one.bounds(runtimeScope).head.sequence >= last.sequence, "what came meanwhile");
  await until(() => complaint(one) === undefined, "the log to be used again");
  await eventually(() => append(one));
});

test("a server that NATS sent nothing ends once it hears again, where what it missed was purged meanwhile", async () => {
  setLimit("natsLookMs", 50);
  setLimit("natsStuckMs", 500);
  const nats = await startNats();
  const proxy = await startDeafProxy(nats.port, (subject) => subject.startsWith("$JS.API.CONSUMER."));
  const [one, other] = [await open(`nats://127.0.0.1:${proxy.port}`), await open(nats.url)];
  await append(one);
  proxy.isDeaf = true;
  await until(async () => {
    await append(other);
    return complaint(one) !== undefined;
  }, "the log to say that it hears nothing");
  await other.close();
  // Nobody writes any more, so nothing that comes shows what is missing.
  await asOperator(nats.url, (manager) => manager.streams.purge(streamOf(namespace)));
  proxy.isDeaf = false;
  // Bounded, for what it says instead to be shown: it would go on for ever.
  await eventually(() => expect(one.health()).toMatchObject({ available: false, ended: true }), 100_000);
});
