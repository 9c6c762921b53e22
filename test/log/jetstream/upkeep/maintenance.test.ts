import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { streamOf } from "../../../../src/log/jetstream/stream/subjects.ts";
import { setLimit } from "../../../conformance/set-limit.ts";
import { startNats } from "../../../support/nats.ts";
import { eventually, until } from "../../../support/until.ts";
import { usersLacking } from "../connection/permissions.ts";
import { asOperator } from "../support.ts";

const namespace = "demo";
const purge = "$JS.API.STREAM.PURGE.TAILRACE_demo";

/** Lines of a server's configuration, one of which names the users. */
const config = (lacking: string | undefined) => [
  "no_auth_user: operator",
  `authorization { users: [{ user: operator, password: o }, ${usersLacking({ u: lacking })}] }`,
];

test("upkeep that fails is told the operator, not each time, and is done once it can be", async () => {
  setLimit("natsLookMs", 20);
  setLimit("natsSnapshotMs", 20);
  setLimit("natsPurgeAfterMs", 0);
  setLimit("natsTroubleMs", 0);
  const nats = await startNats({ config: config(undefined) });
  const faults: Error[] = [];
  const onError = (error: unknown) => {
    // A connection that is lost as the users change is no matter here.
    if (String((error as Error).cause).includes(purge)) faults.push(error as Error);
  };
  const log = await openJetStreamLog({ servers: [nats.url], namespace, user: "u", password: "p", onError });
  onTestFinished(() => log.close());
  const file = join(dirname(nats.storeDirectory), "nats.conf");
  const reload = (lacking: string | undefined) => {
    writeFileSync(file, readFileSync(file, "utf8").replace(/^authorization .*$/m, config(lacking)[1] as string));
    process.kill(nats.pid as number, "SIGHUP");
  };
  let value = 0;
  const put = () => log.append({ events: [], state: new Map([["k", Buffer.from(String(++value))]]) });
  const isTold = (count: number) =>
    eventually(async () => {
      await put();
      expect(faults.length).toBeGreaterThanOrEqual(count);
    });
  const first = () =>
    asOperator(nats.url, async (manager) => (await manager.streams.info(streamOf(namespace))).state.first_seq);

  reload(purge);
  await isTold(3);
  expect(faults[0]?.message).toBe("Looking after the log's stream failed. It is tried again.");
  setLimit("natsTroubleMs", 3_600_000);
  await isTold(faults.length + 1);
  const told = faults.length;
  const denials = () => nats.log().split(purge).length;
  const before = denials();
  await eventually(async () => {
    await put();
    expect(denials()).toBeGreaterThan(before + 5);
  });
  expect(faults).toHaveLength(told);
  expect(log.health()).toEqual({ available: true });

  const last = await first();
  reload(undefined);
  await eventually(async () => {
    await put();
    expect(await first()).toBeGreaterThan(last);
  });
});

test("that NATS is silent, or away, is no fault of the upkeep: the log says so itself", async () => {
  setLimit("natsLookMs", 20);
  setLimit("natsTroubleMs", 0);
  const nats = await startNats();
  const faults: unknown[] = [];
  const onError = (error: unknown) => faults.push(error);
  const log = await openJetStreamLog({ servers: [nats.url], namespace, onError });
  onTestFinished(() => log.close());
  nats.pause();
  await until(() => !log.health().available, "the silence to be noticed");
  nats.resume();
  await until(() => log.health().available, "the log to be back");
  await nats.kill();
  await until(() => !log.health().available, "the loss to be noticed");
  await nats.start();
  await until(() => log.health().available, "the log to be back again");
  expect(faults).toEqual([]);
});
