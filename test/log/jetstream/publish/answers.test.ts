import { connect } from "@nats-io/transport-node";
import { expect, onTestFinished, test } from "vitest";
import { openLink } from "../../../../src/log/jetstream/connection/connect.ts";
import { openJetStreamLog } from "../../../../src/log/jetstream/index.ts";
import { Answers } from "../../../../src/log/jetstream/publish/answers.ts";
import { startNats } from "../../../support/nats.ts";
import { until } from "../../../support/until.ts";
import { event } from "../../harness.ts";
import { freshNamespace } from "../support.ts";

const users = `authorization { users: [
  { user: all, password: p },
  { user: some, password: p, permissions: { publish: { deny: ["denied", "tailrace.*.e.YQ.>"] } } }
] }`;

test("what is answered to each group is told: it was taken, or why not, or that nobody takes it", async () => {
  const { url } = await startNats({ config: [users] });
  const stream = await connect({ servers: url, user: "all", pass: "p" });
  onTestFinished(() => stream.close());
  const refusal = { code: 503, err_code: 10077, description: "maximum bytes exceeded" };
  const answers = ['{"stream":"S","seq":7}', JSON.stringify({ error: refusal, stream: "S", seq: 0 }), '{"error":'];
  stream.subscribe("taken", { callback: (_, message) => void message.respond(answers[message.data[0] ?? 0]) });
  await stream.flush();
  const link = await openLink({ servers: [url], user: "some", password: "p" });
  onTestFinished(() => link.close());
  const told: unknown[] = [];
  const heard = new Answers(link, {
    taken: (number, life, sequence) => told.push([number, life, sequence]),
    refused: (number, life, why) => told.push([number, life, why]),
    unheard: (number, life, { name }) => told.push([number, life, name]),
    denied: (subject, { name }) => told.push([subject, name]),
  });
  const publish = (subject: string, number: number, text = 0) =>
    link.connection.publish(subject, Uint8Array.of(text), { reply: heard.subjectFor(number, 10 * number) });
  publish("taken", 1, 0);
  // What somebody else says is no answer.
  publish("taken", 2, 2);
  publish("taken", 3, 1);
  await until(() => told.length === 2, "two answers");
  publish("nobody.is.there", 4);
  await until(() => told.length === 3, "to hear that nobody is there");
  publish("denied", 5);
  await until(() => told.length === 4, "to hear that it is not allowed");
  expect(told).toEqual([
    [1, 10, 7],
    [3, 30, refusal],
    [4, 40, "NoResponders"],
    ["denied", "PermissionViolationError"],
  ]);
});

test("an append that this server may not publish fails for that reason", async () => {
  const { url } = await startNats({ config: [users] });
  const log = await openJetStreamLog({ servers: [url], user: "some", password: "p", namespace: freshNamespace() });
  onTestFinished(() => log.close());
  await expect(log.append({ events: [event("a", "1")] })).rejects.toMatchObject({
    reason: "log_unavailable",
    cause: { name: "PermissionViolationError" },
  });
});
