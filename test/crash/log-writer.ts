import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { event } from "../log/harness.ts";

// Appends to a log as fast as it can, and says on stdout what was acknowledged, until it is killed.
const [directory = "", durability = "fsync", life = "0"] = process.argv.slice(2);
const log = await openEmbeddedLog({
  directory,
  durability: durability === "process" ? "process" : "fsync",
  retention: { workerEvents: 3000, bytes: 4 * 1024 * 1024 },
});
process.stdout.write(`open ${log.identity.generation}\n`);

async function publish(writer: number): Promise<void> {
  const worker = writer === 0 ? `quiet-${life}` : `writer-${writer}`;
  for (let n = 1; ; n++) {
    const count = writer === 0 ? 1 : 1 + ((n * 7) % 40);
    const events = Array.from({ length: count }, (_, i) =>
      event(worker, `${life}/${writer}/${n}/${i}`.padEnd(60 + ((n + i) % 60), ".")),
    );
    const { firstSequence, last } = await log.append({
      events,
      state: new Map([[`writer/${writer}`, new TextEncoder().encode(`${life}/${n}`)]]),
    });
    process.stdout.write(
      `ack ${writer} ${n} ${count} ${firstSequence} ${last.sequence} ${last.ordinal} ${last.workerOrdinal}\n`,
    );
    if (writer === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

await Promise.all([0, 1, 2, 3, 4].map(publish));
