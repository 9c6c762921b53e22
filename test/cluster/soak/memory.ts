import { residentBytesIfAny } from "../../support/processes.ts";
import type { Cluster } from "../support/cluster.ts";

const mebibyte = 1024 * 1024;

interface Sample {
  readonly minute: number;
  readonly mebibytes: number;
}

/** Memory of one life of a process, in MiB. */
export interface MemoryOfLife {
  readonly name: string;
  readonly minutes: number;
  readonly most: number;
  /** Medians of the second and of the last quarter of the life: the first one is that of filling up. */
  readonly early: number;
  readonly late: number;
  /** MiB per minute, from the second quarter on: the slope of the line nearest to the samples. */
  readonly slope: number;
}

/** Looks at the memory of every process of a cluster. */
export class MemoryWatch {
  readonly #lives = new Map<string, Sample[]>();
  readonly #began = performance.now();
  readonly #timer: NodeJS.Timeout;

  constructor(cluster: Cluster, everyMs: number) {
    const look = (): void => {
      for (const { name, lives, memory } of cluster.servers) this.#sample(`${name}, life ${lives}`, memory);
      for (const { name, pid } of cluster.nats) {
        if (pid !== undefined) this.#sample(`NATS ${name}, process ${pid}`, residentBytesIfAny(pid));
      }
    };
    look();
    this.#timer = setInterval(look, everyMs);
  }

  stop(): readonly MemoryOfLife[] {
    clearInterval(this.#timer);
    return [...this.#lives].map(([name, samples]) => summaryOf(name, samples));
  }

  #sample(name: string, bytes: number | undefined): void {
    if (bytes === undefined) return;
    const samples = this.#lives.get(name) ?? [];
    this.#lives.set(name, samples);
    samples.push({ minute: (performance.now() - this.#began) / 60_000, mebibytes: bytes / mebibyte });
  }
}

function summaryOf(name: string, samples: readonly Sample[]): MemoryOfLife {
  const quarter = (number: number): readonly Sample[] =>
    samples.slice(Math.floor((samples.length * (number - 1)) / 4), Math.ceil((samples.length * number) / 4));
  const settled = samples.slice(Math.floor(samples.length / 4));
  return {
    name,
    minutes: round((samples.at(-1)?.minute ?? 0) - (samples[0]?.minute ?? 0)),
    most: round(Math.max(...samples.map(({ mebibytes }) => mebibytes))),
    early: round(median(quarter(2).map(({ mebibytes }) => mebibytes))),
    late: round(median(quarter(4).map(({ mebibytes }) => mebibytes))),
    slope: round(slopeOf(settled)),
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
