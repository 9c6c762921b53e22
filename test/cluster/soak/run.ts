import { setTimeout as delay } from "node:timers/promises";
import { randomOf } from "../../support/random.ts";
import { openCluster } from "../support/cluster.ts";
import { type FaultGaps, Scene } from "../support/scene.ts";
import { type FaultKind, faultKinds } from "./faults.ts";
import { grown } from "./growth.ts";
import { probeArgs } from "./heap.ts";
import { JobLoad, operations } from "./jobs.ts";
import { lowered } from "./lowered.ts";
import { type MemoryOfLife, MemoryWatch, median, type SnapshotFile } from "./memory.ts";
import { Visitors } from "./readers.ts";

export interface SoakOptions {
  /** For this run alone. */
  readonly directory: string;
  readonly seed: number;
  /** Milliseconds after which no further fault begins, and between the beginnings of two. */
  readonly totalMs: number;
  readonly everyMs: number;
  /** Faults at the most. Default: as many as there is time for. */
  readonly count?: number;
  /** Factor on the times that faults last. Default: 1. */
  readonly pace?: number;
  /** Default: all. */
  readonly kinds?: readonly FaultKind[];
  /** Factor on how much is published, submitted and visited. Default: 1. */
  readonly load?: number;
  /** Minutes after which every server writes a heap snapshot, which holds it up for seconds. Default: none. */
  readonly snapshots?: { readonly minutes: readonly number[]; readonly file: SnapshotFile };
  /** Hears of each step. */
  readonly onStep?: (text: string) => void;
}

/** A fault that was done, and the milliseconds without service around it. */
export interface FaultResult extends FaultGaps {
  readonly kind: string;
  readonly target: string;
  readonly second: number;
  readonly lastedMs: number;
}

/** Milliseconds without service over all faults of a kind: of the client that waited longest, and of all together. */
interface KindSummary {
  readonly count: number;
  readonly publishing: { readonly median: number; readonly max: number; readonly maxOfAll: number };
  readonly watching: { readonly median: number; readonly max: number; readonly maxOfAll: number };
}

export interface SoakResult {
  readonly seed: number;
  readonly minutes: number;
  /** Empty: all that was promised was kept. */
  readonly problems: readonly string[];
  readonly acknowledgedEvents: number;
  /** Events that each watcher of everything saw, and how often it connected. */
  readonly watchers: readonly { readonly name: string; readonly events: number; readonly connections: number }[];
  readonly refusals: Record<string, number>;
  readonly jobs: { readonly submitted: number; readonly ends: Record<string, number> };
  readonly visits: Record<string, number>;
  readonly faults: readonly FaultResult[];
  readonly gaps: Record<string, KindSummary>;
  readonly memory: readonly MemoryOfLife[];
  /** Processes of Tailrace that ended by themselves and were started again, with what they said. */
  readonly endedByItself: readonly string[];
}

/** What retention keeps: few enough to be met within minutes, since memory grows until then. */
const retention = ["--retain-events", "20000", "--retain-worker-events", "5000"];

/** A failed publish may say one of these. Anything else is no answer for a client to try again by. */
const knownRefusals = /^(log_unavailable|server_closing|limit_exceeded|connection_failed .+)$/;

/** Milliseconds between two times that servers say what they hold, between two batches of a producer, jobs, and visits of a kind. */
const paces = { heldMs: 60_000, batchMs: 60, jobMs: 1_000, visitMs: 2_000 };

/** Loads a cluster in every way at once, does something to it again and again, and holds what clients saw against what was promised. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { directory, seed, totalMs, everyMs, pace = 1, kinds = faultKinds, onStep = () => undefined } = options;
  const { count = Number.POSITIVE_INFINITY, load = 1, snapshots } = options;
  const random = randomOf(seed);
  const began = performance.now();
  const problems: string[] = [];
  const step = (text: string): void => onStep(`${seconds(performance.now() - began)} s: ${text}`);
  const cluster = await openCluster({
    directory,
    servers: 3,
    config: { operations },
    args: retention,
    nodeArgs: probeArgs,
  });
  const timers: NodeJS.Timeout[] = [];
  try {
    const memory = new MemoryWatch(cluster, paces.heldMs / load, step);
    for (const minutes of snapshots?.minutes ?? []) {
      const file: SnapshotFile = (server, life) => `${snapshots?.file(server, life)}.${minutes}.heapsnapshot`;
      timers.push(setTimeout(() => void memory.ask(file), minutes * 60_000));
    }
    let visitors: Visitors | undefined;
    const scene = new Scene(cluster, {
      paceMs: paces.batchMs / load,
      onAcknowledged: (lane, number, cursor) => visitors?.remember(lane, number, cursor),
    });
    // Each has numbers of its own, so that the faults of a seed are the same whatever the others do.
    visitors = new Visitors(cluster.urls, scene.ledger, randomOf(seed + 1), paces.visitMs / load);
    const jobs = new JobLoad(cluster.urls, randomOf(seed + 2), paces.jobMs / load);
    await scene.more(100);
    step("the load runs");

    const world = {
      cluster,
      mortal: cluster.servers.slice(1),
      choose: <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T,
    };
    const faults: FaultResult[] = [];
    const from = performance.now();
    let left: FaultKind[] = [];
    for (let at = from; at < from + totalMs && faults.length < count && problems.length === 0; ) {
      await delay(Math.max(0, at - performance.now()));
      // By chance, yet each kind as often as the others.
      if (left.length === 0) left = shuffled(kinds, random);
      const kind = left.pop() as FaultKind;
      const lastedMs = Math.round(kind.lastsMs * pace);
      const second = seconds(performance.now() - began);
      try {
        let target = "";
        const gaps = await scene.gapsOf(async () => {
          target = await kind.run(world, lastedMs);
        });
        faults.push({ kind: kind.name, target, second, lastedMs, ...gaps });
        step(`${kind.name} (${target}) at ${second} s, without service: ${JSON.stringify(gaps)}`);
      } catch (error) {
        problems.push(`${second} s: ${kind.name}: ${(error as Error).message}`);
      }
      while (at <= performance.now()) at += everyMs;
    }

    step("the faults are over");
    await memory.ask();
    await jobs.stop();
    step("every command has been answered");
    problems.push(...(await visitors.stop()));
    step("the visitors have left");
    const readers = scene.watchers.map(({ verifier }) => verifier);
    problems.push(...(await jobs.verdict(readers, lowered.maxJobs)));
    step("the jobs have been looked at");
    problems.push(...(await scene.verdict()));
    const digests = new Set(readers.map((reader) => `${reader.count} ${reader.digest()}`));
    if (digests.size !== 1) problems.push(`watchers saw different logs: ${[...digests].join(", ")}`);
    for (const [reason, count] of scene.load.refusals) {
      if (!knownRefusals.test(reason)) problems.push(`publishing failed ${count} times as ${reason}`);
    }
    const endedByItself = cluster.servers.flatMap((server) => {
      return server.endedByItself.map((said) => `${server.name} ${said}`);
    });
    // One that can't go on says so and ends with 1, for its supervisor to start it again. Anything else is a crash.
    for (const said of endedByItself) if (!/^t\d+ 1: (.|\n)*tailrace: /.test(said)) problems.push(`crashed: ${said}`);
    const lives = memory.stop();
    problems.push(...grown(lives));
    return {
      seed,
      minutes: Math.round((performance.now() - began) / 6_000) / 10,
      problems,
      acknowledgedEvents: scene.ledger.acknowledged,
      watchers: scene.watchers.map(({ verifier, connections }) => ({
        name: verifier.name,
        events: verifier.count,
        connections,
      })),
      refusals: Object.fromEntries(scene.load.refusals),
      jobs: { submitted: jobs.submitted, ends: JobLoad.tally(readers[0] as (typeof readers)[number]) },
      visits: { ...visitors.counts },
      faults,
      gaps: gapsByKind(faults),
      memory: lives,
      endedByItself,
    };
  } finally {
    for (const timer of timers) clearTimeout(timer);
    await cluster.close();
  }
}

function gapsByKind(faults: readonly FaultResult[]): Record<string, KindSummary> {
  const summary = (of: readonly FaultGaps["publishing"][]) => ({
    median: median(of.map(({ client }) => client)),
    max: Math.max(...of.map(({ client }) => client)),
    maxOfAll: Math.max(...of.map(({ all }) => all)),
  });
  return Object.fromEntries(
    [...Map.groupBy(faults, ({ kind }) => kind)].map(([kind, of]) => [
      kind,
      {
        count: of.length,
        publishing: summary(of.map(({ publishing }) => publishing)),
        watching: summary(of.map(({ watching }) => watching)),
      },
    ]),
  );
}

function shuffled<T>(of: readonly T[], random: () => number): T[] {
  return of
    .map((item) => ({ item, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}

function seconds(ms: number): number {
  return Math.round(ms / 1_000);
}
