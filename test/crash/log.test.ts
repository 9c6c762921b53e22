import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { EventLog } from "../../src/log/contract.ts";
import { openEmbeddedLog } from "../../src/log/embedded/index.ts";
import { job, readAll, runtimeScope, type Seen, workers } from "../log/harness.ts";
import { scratchDirectory } from "../support/scratch.ts";

const program = fileURLToPath(new URL("./log-writer.ts", import.meta.url));
const lives = 24;
/** Acknowledgements of a life, at least, before it ends. */
const acknowledgedAtLeast = 6;
const retention = { workerEvents: 3000, bytes: 4 * 1024 * 1024 };

interface Acknowledged {
  readonly worker: string;
  readonly life: number;
  readonly n: number;
  readonly count: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly lastOrdinal: number;
  readonly lastWorkerOrdinal: number;
  readonly lastJobOrdinal: number;
}

/** Lets a process append until it is killed; gives what it had acknowledged by then. */
async function live(
  directory: string,
  durability: string,
  life: number,
): Promise<{ generation: string; acks: Acknowledged[] }> {
  const child = spawn(process.execPath, [program, directory, durability, String(life)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let out = "";
  // Somewhere in the middle of its work, each time elsewhere.
  const enough = acknowledgedAtLeast + ((life * 37) % 150);
  let heard = 0;
  let isEnough: (() => void) | undefined;
  const worked = new Promise<void>((resolve) => {
    isEnough = resolve;
  });
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    heard += text.split("\nack ").length - 1;
    // The last of them may not be whole.
    if (heard > enough) isEnough?.();
  });
  const ended = once(child, "close");
  await Promise.race([worked, ended]);
  child.kill("SIGKILL");
  const [, signal] = await ended;
  expect(signal).toBe("SIGKILL");
  // The last line may be cut off; what it would have said was not heard by anyone.
  const lines = out.slice(0, out.lastIndexOf("\n")).split("\n");
  const acks = lines
    .filter((line) => line.startsWith("ack "))
    .map((line) => {
      const [writer, n, count, firstSequence, lastSequence, lastOrdinal, lastWorkerOrdinal, lastJobOrdinal] = line
        .split(" ")
        .slice(1)
        .map(Number) as [number, number, number, number, number, number, number, number];
      const worker = writer === 0 ? `quiet-${life}` : `writer-${writer}`;
      return { worker, life, n, count, firstSequence, lastSequence, lastOrdinal, lastWorkerOrdinal, lastJobOrdinal };
    });
  return { generation: lines[0]?.split(" ")[1] as string, acks };
}

for (const durability of ["fsync", "process"] as const) {
  test(`SIGKILL under load, ${lives} times in a row, loses nothing acknowledged and reuses no sequence (${durability})`, async () => {
    const directory = join(scratchDirectory(), "data");
    const generations = new Set<string>();
    const acknowledged: Acknowledged[] = [];
    let highest = 0;
    for (let life = 0; life < lives; life++) {
      const { generation, acks } = await live(directory, durability, life);
      generations.add(generation);
      for (const ack of acks) {
        // Acknowledgements of one life come in log order, after everything of the lives before.
        expect(ack.firstSequence).toBeGreaterThan(highest);
        expect(ack.lastSequence).toBe(ack.firstSequence + ack.count - 1);
        highest = ack.lastSequence;
      }
      acknowledged.push(...acks);
      if (life % 6 === 5) await verify(directory, durability, acknowledged);
    }
    expect(generations.size).toBe(1);
    expect(acknowledged.length).toBeGreaterThanOrEqual(lives * acknowledgedAtLeast);
    await verify(directory, durability, acknowledged);
  }, 900_000);
}

/** Every acknowledged event that retention left is there, as it was acknowledged, and every old position can be used. */
async function verify(
  directory: string,
  durability: "fsync" | "process",
  acknowledged: readonly Acknowledged[],
): Promise<void> {
  const log = await openEmbeddedLog({ directory, durability, retention });
  const all = await readAll(log);
  const { floor, head } = log.bounds(runtimeScope);
  expect(all.map((one) => one.ordinal)).toEqual(
    Array.from({ length: head.ordinal - floor.ordinal }, (_, i) => floor.ordinal + 1 + i),
  );
  const byWorker = new Map<string, Seen[]>();
  for (const { workerId } of log.workers()) byWorker.set(workerId, await holesChecked(log, workerId));
  for (const ack of acknowledged) {
    const seen = byWorker.get(ack.worker) ?? [];
    const floorSequence = log.bounds(workers(ack.worker)).floor.sequence;
    const found = seen.filter((one) => one.sequence >= ack.firstSequence && one.sequence <= ack.lastSequence);
    const removed = Math.max(0, Math.min(ack.count, floorSequence - ack.firstSequence + 1));
    expect(found).toHaveLength(ack.count - removed);
    for (const [i, one] of found.entries()) {
      expect(one.text.split(".")[0]).toBe(`${ack.life}/${writerOf(ack)}/${ack.n}/${removed + i}`);
    }
    expect(found.at(-1)?.workerOrdinal ?? ack.lastWorkerOrdinal).toBe(ack.lastWorkerOrdinal);
    expect(found.at(-1)?.ordinal ?? ack.lastOrdinal).toBe(ack.lastOrdinal);
    // A quiet worker is below every limit, however much the others publish.
    if (ack.worker.startsWith("quiet")) expect(removed).toBe(0);
  }
  await verifyJobs(log, acknowledged, byWorker);
  // What a batch commits beside its events came with it: the state is of the last batch, or one that was not heard of.
  for (const writer of [0, 1, 2, 3, 4]) {
    const last = acknowledged.findLast((ack) => writerOf(ack) === writer);
    const state = new TextDecoder().decode(log.state(`writer/${writer}`));
    if (last === undefined) continue;
    const [life, n] = state.split("/").map(Number) as [number, number];
    expect(life * 1e6 + n).toBeGreaterThanOrEqual(last.life * 1e6 + last.n);
  }
  for (const ack of acknowledged.slice(-20)) {
    const rest = all.filter((one) => one.sequence > ack.lastSequence);
    if (ack.lastSequence >= floor.sequence) expect(await readAll(log, { after: ack.lastSequence })).toEqual(rest);
  }
  await log.close();
}

/** Jobs are remembered and forgotten as it was acknowledged, and what is retained of one is whole. */
async function verifyJobs(
  log: EventLog,
  acknowledged: readonly Acknowledged[],
  byWorker: ReadonlyMap<string, readonly Seen[]>,
): Promise<void> {
  const byJob = new Map<string, Acknowledged[]>();
  for (const ack of acknowledged) {
    if (ack.lastJobOrdinal === 0) continue;
    const jobId = `job-${ack.life}-${writerOf(ack)}-${Math.floor(ack.n / 10)}`;
    byJob.set(jobId, [...(byJob.get(jobId) ?? []), ack]);
  }
  for (const [jobId, acks] of byJob) {
    const { floor, head } = log.bounds(job(jobId));
    const { life, worker, n } = acks.at(-1) as Acknowledged;
    const forgetting = forgettingBatch(worker, n);
    const later = acknowledged.filter((ack) => ack.life > life + 1);
    const wasForgotten =
      later.some((ack) => ack.worker === "writer-3") ||
      acknowledged.some((ack) => ack.life === life && ack.worker === worker && ack.n === forgetting);
    const record = log.job(jobId);
    if (record === undefined) {
      // The batch that forgets it may have been written without its acknowledgement being heard.
      const text = `${life}/${worker.split("-")[1]}/${forgetting}/0`;
      expect(wasForgotten || later.length > 0 || wasWritten(text, acks, byWorker.get(worker) ?? [])).toBe(true);
      expect(await readAll(log, { scope: job(jobId) })).toEqual([]);
      continue;
    }
    expect(wasForgotten).toBe(false);
    const seen = await readAll(log, { scope: job(jobId) });
    expect(seen.map((one) => one.jobOrdinal)).toEqual(
      Array.from({ length: record.lastOrdinal - floor.jobOrdinal }, (_, i) => floor.jobOrdinal + 1 + i),
    );
    expect(head.jobOrdinal).toBe(record.lastOrdinal);
    for (const ack of acks) {
      expect(record.lastOrdinal).toBeGreaterThanOrEqual(ack.lastJobOrdinal);
      const found = seen.find((one) => one.jobOrdinal === ack.lastJobOrdinal);
      expect(found?.sequence ?? ack.lastSequence).toBe(ack.lastSequence);
      expect(found === undefined).toBe(ack.lastSequence <= floor.sequence);
    }
  }
}

/** Number of the batch that forgets the job of batch `n`. */
function forgettingBatch(worker: string, n: number): number {
  const number = Math.floor(n / 10);
  return worker === "writer-3" ? (number + 2) * 10 : number * 10 + 9;
}

/** Whether a batch that comes after others of a worker is in the log, or retention has gone beyond them already. */
function wasWritten(text: string, before: readonly Acknowledged[], seen: readonly Seen[]): boolean {
  const last = before.at(-1)?.lastSequence ?? 0;
  return (seen[0]?.sequence ?? last + 1) > last || seen.some((one) => one.text.split(".")[0] === text);
}

async function holesChecked(log: EventLog, workerId: string): Promise<Seen[]> {
  const scope = workers(workerId);
  const seen = await readAll(log, { scope });
  const { floor, head } = log.bounds(scope);
  expect(seen.map((one) => one.workerOrdinal)).toEqual(
    Array.from({ length: head.workerOrdinal - floor.workerOrdinal }, (_, i) => floor.workerOrdinal + 1 + i),
  );
  return seen;
}

function writerOf(ack: Acknowledged): number {
  return ack.worker.startsWith("quiet") ? 0 : Number(ack.worker.split("-")[1]);
}
