// The ordered consumer of NATS's own client for Node: reads a number of messages from the first on, and says how long it took.
import { performance } from "node:perf_hooks";
import { DeliverPolicy, jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { requiredArgument } from "../harness/arguments.ts";

const url = requiredArgument("--url");
const wanted = Number(requiredArgument("--events"));

const started = performance.now();
const before = process.cpuUsage();
const connection = await connect({ servers: url, noAsyncTraces: true });
const consumer = await jetstream(connection).consumers.get("bench", { deliver_policy: DeliverPolicy.All });
let seen = 0;
let bytes = 0;
let finished = (): void => undefined;
const all = new Promise<void>((resolve) => {
  finished = resolve;
});
await consumer.consume({
  // Its fastest way: by callback, and with more asked for ahead than the 100 of its default.
  max_messages: 10_000,
  callback(message) {
    seen++;
    bytes += message.data.length;
    if (seen === wanted) finished();
  },
});
await all;
const seconds = (performance.now() - started) / 1000;
const cpu = process.cpuUsage(before);
console.log(JSON.stringify({ seen, bytes, seconds, cpu: (cpu.user + cpu.system) / 1e6 }));
process.exit(0);
