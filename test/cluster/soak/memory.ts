import { residentBytesIfAny } from "../../support/processes.ts";
import type { Cluster } from "../support/cluster.ts";
import type { Server } from "../support/server.ts";
import { type HeapUse, heapUseOf } from "./heap.ts";

const mebibyte = 1024 * 1024;

/** Milliseconds between two looks at what the system says. */
const residentMs = 2_000;

export interface Sample {
  readonly minute: number;
  readonly mebibytes: number;
}

/** How one measure of memory went during the life of a process, in MiB. */
export interface Course {
  readonly most: number;
  /** Medians of the second and of the last quarter of the life: the first one is that of filling up. */
  readonly early: number;
  readonly late: number;
  /** MiB per minute, from the second quarter on: the slope of the line nearest to the samples. */
  readonly slope: number;
}

/** What is held, by where it lies: what V8 has in its heap, what it knows of outside of that, and what it took for its heap. */
type Held = Record<"heap" | "external" | "taken", Sample[]>;

/** Memory of one life of a process. */
export interface MemoryOfLife {
  readonly name: string;
  readonly minutes: number;
  /** What the system has given it, which depends on when garbage is collected and on what the allocator keeps for later. */
  readonly resident: Course;
  /**
   * What a server holds once its garbage was collected, in V8's heap and outside of it, and what V8 had taken for its heap
   * before. Undefined: nobody asked it.
   */
  readonly held: Readonly<Record<keyof Held, Course>> | undefined;
}

/** What a file for a heap snapshot is called, of a server and a life of it. */
export type SnapshotFile = (server: string, life: number) => string;

/** Looks at the memory of every process of a cluster. */
export class MemoryWatch {
  readonly #cluster: Cluster;
  readonly #resident = new Map<string, Sample[]>();
  readonly #held = new Map<string, Held>();
  readonly #began = performance.now();
  readonly #timers: readonly NodeJS.Timeout[];
  /** Servers that have not answered yet. */
  readonly #asked = new Map<Server, Promise<void>>();

  /** `heldMs`: milliseconds between two times that servers collect their garbage, and say what is left, of which `say` hears. */
  constructor(cluster: Cluster, heldMs: number, say: (text: string) => void) {
    this.#cluster = cluster;
    this.#look();
    const ask = (): void => void this.ask().then(() => say(this.#newest()));
    this.#timers = [setInterval(() => this.#look(), residentMs), setInterval(ask, heldMs)];
  }

  /** Asks every server that runs what it holds. `snapshot`: to write down all of it, too. */
  async ask(snapshot?: SnapshotFile): Promise<void> {
    await Promise.all(this.#cluster.servers.map((server) => this.#ask(server, snapshot)));
  }

  stop(): readonly MemoryOfLife[] {
    for (const timer of this.#timers) clearInterval(timer);
    return [...this.#resident].map(([name, resident]) => {
      const held = this.#held.get(name);
      return {
        name,
        minutes: round((resident.at(-1)?.minute ?? 0) - (resident[0]?.minute ?? 0)),
        resident: courseOf(resident),
        held: held && {
          heap: courseOf(held.heap),
          external: courseOf(held.external),
          taken: courseOf(held.taken),
        },
      };
    });
  }

  /** The newest answer of every server that runs. */
  #newest(): string {
    const texts = this.#cluster.servers.map(({ name, lives }) => {
      const life = lifeOf(name, lives);
      const newest = (of?: readonly Sample[]): number => round(of?.at(-1)?.mebibytes ?? 0);
      const held = this.#held.get(life);
      return `${life}: ${newest(held?.heap)} and ${newest(held?.external)} of ${newest(this.#resident.get(life))}`;
    });
    return `MiB held in the heap and outside, of those that the process has: ${texts.join("; ")}`;
  }

  #look(): void {
    for (const { name, lives, memory } of this.#cluster.servers) this.#sample(lifeOf(name, lives), memory);
    for (const { name, pid } of this.#cluster.nats) {
      if (pid !== undefined) this.#sample(`NATS ${name}, process ${pid}`, residentBytesIfAny(pid));
    }
  }

  #ask(server: Server, snapshot: SnapshotFile | undefined): Promise<void> {
    // One that is stopped would answer every question when it goes on.
    const before = this.#asked.get(server);
    if (before !== undefined) return before;
    const asked = this.#answerOf(server, snapshot).finally(() => this.#asked.delete(server));
    this.#asked.set(server, asked);
    return asked;
  }

  async #answerOf({ name, lives, process }: Server, snapshot: SnapshotFile | undefined): Promise<void> {
    if (process === undefined) return;
    const use = await heapUseOf(process, snapshot === undefined ? {} : { snapshot: snapshot(name, lives) });
    if (use !== undefined) this.#note(lifeOf(name, lives), use);
  }

  #note(name: string, { heapUsed, external, heapTotal }: HeapUse): void {
    const held = this.#held.get(name) ?? { heap: [], external: [], taken: [] };
    this.#held.set(name, held);
    held.heap.push(this.#sampleOf(heapUsed));
    held.external.push(this.#sampleOf(external));
    held.taken.push(this.#sampleOf(heapTotal));
  }

  #sample(name: string, bytes: number | undefined): void {
    if (bytes === undefined) return;
    const samples = this.#resident.get(name) ?? [];
    this.#resident.set(name, samples);
    samples.push(this.#sampleOf(bytes));
  }

  #sampleOf(bytes: number): Sample {
    return { minute: (performance.now() - this.#began) / 60_000, mebibytes: bytes / mebibyte };
  }
}

function lifeOf(name: string, life: number): string {
  return `${name}, life ${life}`;
}

export function courseOf(samples: readonly Sample[]): Course {
  const quarter = (number: number): readonly Sample[] =>
    samples.slice(Math.floor((samples.length * (number - 1)) / 4), Math.ceil((samples.length * number) / 4));
  return {
    most: round(Math.max(...samples.map(({ mebibytes }) => mebibytes))),
    early: round(median(quarter(2).map(({ mebibytes }) => mebibytes))),
    late: round(median(quarter(4).map(({ mebibytes }) => mebibytes))),
    slope: round(slopeOf(samples.slice(Math.floor(samples.length / 4)))),
  };
}

function slopeOf(samples: readonly Sample[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const minute = mean(samples.map((sample) => sample.minute));
  const mebibytes = mean(samples.map((sample) => sample.mebibytes));
  let covariance = 0;
  let variance = 0;
  for (const sample of samples) {
    covariance += (sample.minute - minute) * (sample.mebibytes - mebibytes);
    variance += (sample.minute - minute) ** 2;
  }
  return variance === 0 ? 0 : covariance / variance;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
