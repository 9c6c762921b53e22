import type { LogIndex } from "./log-index.ts";
import type { ScopeEntry } from "./scope-entry.ts";
import { type EventArrays, setJob } from "./staged.ts";

/**
 * Puts back an event that was committed in an earlier life of the log, in the order of the log, unless it was removed
 * since. `settle` is to follow the last one.
 */
export function restoreEvent(
  index: LogIndex,
  events: EventArrays,
  i: number,
  place: { readonly segment: number; readonly offset: number },
  worker: ScopeEntry,
  job: ScopeEntry | undefined,
): void {
  const sequence = events.sequences[i] as number;
  const isJobs = job !== undefined && !job.forgotten;
  const holder = isJobs ? job : worker;
  if (sequence <= holder.floor.sequence) return;
  const size = events.sizes[i] as number;
  const timeMs = events.times[i] as number;
  events.workers[i] = worker.number;
  if (job !== undefined) setJob(events, i, job.number, events.jobOrdinals?.[i] as number);
  index.columns.append(events, i, place.segment, place.offset);
  index.uses.count(place.segment, 1, size);
  worker.seen(timeMs);
  // A checkpoint may have said more already.
  worker.lastOrdinal = Math.max(worker.lastOrdinal, events.workerOrdinals[i] as number);
  if (sequence > worker.floor.sequence) {
    worker.queue.push(sequence);
    worker.retainedEvents++;
    worker.retainedBytes += size;
    if (isJobs) {
      worker.sharedEvents++;
      worker.sharedBytes += size;
    }
  } else worker.outsideEvents++;
  if (job === undefined) return;
  if (job.forgotten) {
    job.outsideEvents++;
    return;
  }
  job.seen(timeMs);
  job.lastOrdinal = Math.max(job.lastOrdinal, events.jobOrdinals?.[i] as number);
  job.queue.push(sequence);
  job.retainedEvents++;
  job.retainedBytes += size;
}

/** Everything is put back: what is retained counts against whoever holds it, and names that nothing says are dropped. */
export function settle(index: LogIndex): void {
  for (const table of [index.workers, index.jobs]) {
    for (const entry of table.all()) {
      entry.plannedLastOrdinal = entry.lastOrdinal;
      if (entry.forgotten && !entry.isNamed) table.letGo(entry);
      else index.retention.takeBack(entry);
    }
  }
}
