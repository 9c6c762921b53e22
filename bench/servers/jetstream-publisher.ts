// Raw publishing to JetStream by its own client for Node, as an application without Tailrace does it: a message for each
// event, or, with --atomic, the events of a batch as one atomic batch.
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { requiredArgument } from "../harness/arguments.ts";
import type { Publish } from "./append-in-process.ts";
import { measureAppend } from "./append-in-process.ts";
import { control } from "./control.ts";
import { payloadBytes, stampNow } from "./payload.ts";

const connection = await connect({ servers: requiredArgument("--nats"), noAsyncTraces: true });
const client = jetstream(connection, { timeout: 30_000 });
const subject = "bench";

// As in `measureAppend`, nobody reads them, so one serves for all.
const data = payloadBytes(1, stampNow());

const singly: Publish = (events) => Promise.all(events.map(() => client.publish(subject, data)));

const atomically: Publish = async (events) => {
  const batch = await client.startBatch(subject, data);
  for (let added = 2; added < events.length; added++) batch.add(subject, data);
  return batch.commit(subject, data);
};

const publish: Publish = process.argv.includes("--atomic") ? atomically : singly;

control({
  port: 0,
  publish: () => {
    throw new Error("it publishes for `append` alone");
  },
  async command([name, ...numbers]) {
    if (name !== "append") throw new Error(`no such command: ${name}`);
    const [seconds = 1, batch = 1, concurrency = 1, ...others] = numbers.map(Number);
    return measureAppend(publish, { seconds, batch, concurrency, others });
  },
});
