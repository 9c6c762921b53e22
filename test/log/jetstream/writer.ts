import { isConflict } from "../../../src/log/contract.ts";
import { openJetStreamLog } from "../../../src/log/jetstream/index.ts";
import { event } from "../harness.ts";

// Appends to a log as fast as it can, and says on stdout what was acknowledged, until it is killed.
const [url = "", namespace = "", life = "0"] = process.argv.slice(2);
const log = await openJetStreamLog({ servers: [url], namespace, retention: { workerEvents: 2000 } });
process.stdout.write(`open ${log.identity.generation}\n`);

async function refused(error: Error): Promise<undefined> {
  process.stdout.write(`refused ${isConflict(error) ? "conflict" : error.message}\n`);
  await new Promise((resolve) => setTimeout(resolve, 100));
}

async function publish(writer: number): Promise<void> {
  for (let n = 1; ; n++) {
    const events = Array.from({ length: 1 + (n % 7) }, (_, i) =>
      event(`writer-${writer}`, `${life}/${writer}/${n}/${i}`),
    );
    const state = new Map([[`writer/${writer}`, new TextEncoder().encode(`${life}/${n}`)]]);
    const result = await log.append({ events, state }).catch(refused);
    if (result === undefined) continue;
    const { firstSequence, last } = result;
    process.stdout.write(`ack ${writer} ${n} ${events.length} ${firstSequence} ${last.sequence}\n`);
  }
}

await Promise.all([0, 1, 2].map(publish));
