import { createInterface } from "node:readline";
import { isConflict } from "../../../src/log/contract.ts";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { event } from "../harness.ts";

// Counts together with others: each number is decided from the state, and published with it. Says "open", waits for a line,
// and says "ack NUMBER" for each of its own, until the count has come to an end; then "end".
const [url = "", namespace = "", name = "", end = "0"] = process.argv.slice(2);
const log = await openJetStreamLog({ servers: [url], namespace });
process.stdout.write("open\n");
const input = createInterface({ input: process.stdin });
await input[Symbol.asyncIterator]().next();
input.close();

function counted(): number {
  const value = log.state("count");
  return value === undefined ? 0 : Number(new TextDecoder().decode(value));
}

for (let next = counted() + 1; next <= Number(end); next = counted() + 1) {
  try {
    const state = new Map([["count", new TextEncoder().encode(`${next}`)]]);
    await log.append({ events: [event(name, `${next}`)], state, fence: ["count"] });
    process.stdout.write(`ack ${next}\n`);
  } catch (error) {
    if (!isConflict(error)) throw error;
    // What the other one put is known by now.
    if (counted() < next) process.stdout.write("late\n");
    process.stdout.write("conflict\n");
  }
}
process.stdout.write("end\n");
await log.close();
