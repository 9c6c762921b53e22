import type { Chunk } from "./chunk.ts";
import type { ScopeEntry } from "./scope-entry.ts";
import { ScopeTable } from "./scope-table.ts";

/** The workers and the jobs of a log, and which of them an event counts against. */
export class Holders {
  readonly workers = new ScopeTable(false);
  readonly jobs = new ScopeTable(true);

  /** Its job while that is remembered, else its worker. */
  of(chunk: Chunk, row: number): ScopeEntry | undefined {
    const job = this.jobOf(chunk, row);
    if (job !== undefined && !job.forgotten) return job;
    return this.workers.get(chunk.workers[row] as number);
  }

  /** The same once the group being committed is in. */
  plannedOf(chunk: Chunk, row: number): ScopeEntry | undefined {
    const job = this.jobOf(chunk, row);
    if (job !== undefined && !job.plannedForgotten) return job;
    return this.workers.get(chunk.workers[row] as number);
  }

  /** Undefined: it has none. */
  jobOf(chunk: Chunk, row: number): ScopeEntry | undefined {
    if (chunk.jobs === undefined) return undefined;
    const number = chunk.jobs[row] as number;
    return number === 0 ? undefined : this.jobs.get(number);
  }

  workerOf(chunk: Chunk, row: number): ScopeEntry {
    return this.workers.get(chunk.workers[row] as number) as ScopeEntry;
  }

  /** Whether an event is retained. */
  isLive(chunk: Chunk, row: number): boolean {
    const holder = this.of(chunk, row);
    return holder !== undefined && (chunk.sequences[row] as number) > holder.floor.sequence;
  }
}
