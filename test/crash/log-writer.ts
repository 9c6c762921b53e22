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

/**
 * The job of a batch, and the one that it forgets: writers 3 and 4 do their work in jobs of ten batches. Writer 4 forgets
 * each with its last batch, writer 3 with the first one of the next but one and, with its first, those of old lives: what is
 * remembered must stay little, or jobs would leave no room to the quiet workers.
 */
function jobsOf(writer: number, n: number): { jobId: string; forgetJobs: string[] } {
  const number = Math.floor(n / 10);
  const id = (of: number) => `job-${life}-${writer}-${of}`;
  if (writer < 3) return { jobId: "", forgetJobs: [] };
  if (writer === 3) {
    const old = [...log.jobs()]
      .map((job) => job.jobId)
      .filter((jobId) => Number(jobId.split("-")[1]) < Number(life) - 1);
    return { jobId: id(number), forgetJobs: n === 1 ? old : n % 10 === 0 ? [id(number - 2)] : [] };
  }
  return { jobId: id(number), forgetJobs: n % 10 === 9 ? [id(number)] : [] };
}

async function publish(writer: number): Promise<void> {
  const worker = writer === 0 ? `quiet-${life}` : `writer-${writer}`;
  for (let n = 1; ; n++) {
    const count = writer === 0 ? 1 : 1 + ((n * 7) % 40);
    const { jobId, forgetJobs } = jobsOf(writer, n);
    const events = Array.from({ length: count }, (_, i) =>
      event(worker, `${life}/${writer}/${n}/${i}`.padEnd(60 + ((n + i) % 60), "."), 40, jobId),
    );
    const { firstSequence, last } = await log.append({
      events,
      state: new Map([[`writer/${writer}`, new TextEncoder().encode(`${life}/${n}`)]]),
      forgetJobs,
    });
    process.stdout.write(
      `ack ${writer} ${n} ${count} ${firstSequence} ${last.sequence} ${last.ordinal} ${last.workerOrdinal} ${last.jobOrdinal}\n`,
    );
    if (writer === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

await Promise.all([0, 1, 2, 3, 4].map(publish));
