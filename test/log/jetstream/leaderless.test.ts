import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { expect, onTestFinished, test } from "vitest";
import { isNoAnswer } from "../../../src/log/jetstream/errors.ts";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { streamOf, subjectsOf } from "../../../src/log/jetstream/stream/subjects.ts";
import { setLimit } from "../../conformance/set-limit.ts";
import { startNatsCluster } from "../../support/nats.ts";
import { eventually } from "../../support/until.ts";
import { events, readAll, texts } from "../harness.ts";
import { freshNamespace } from "./support.ts";

test("servers of a cluster that say that it has no leader are waited for, as those that say nothing", async () => {
  // Elections take their time, on a slow machine more than there is.
  setLimit("natsOpenMs", 200_000);
  const { servers, urls } = await startNatsCluster();
  const namespace = freshNamespace();
  const open = async (...names: readonly string[]) => {
    const log = await openJetStreamLog({ servers: names, namespace, replicas: 3 });
    onTestFinished(() => log.close());
    return log;
  };
  const one = await open(...urls);
  await eventually(() => one.append({ events: events("a", 3) }));
  const before = texts(await readAll(one));
  await one.close();
  const [alone, ...others] = servers;
  await Promise.all(others.map((other) => other.kill()));
  const connection = await connect({ servers: alone?.url as string });
  onTestFinished(() => connection.close());
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const newest = { last_by_subj: subjectsOf(namespace) };
  for (const ask of [() => manager.getAccountInfo(), () => manager.streams.getMessage(streamOf(namespace), newest)]) {
    // It says so only when there was none for ten seconds.
    const refusal = await eventually(async () => {
      const error = await ask().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 10008 });
      return error;
    });
    expect(isNoAnswer(refusal)).toBe(true);
  }
  const opening = open(alone?.url as string);
  await Promise.all([opening, ...others.map((other) => other.start())]);
  expect(texts(await readAll(await opening))).toEqual(before);
});
