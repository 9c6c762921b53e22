import type { Fold } from "./fold.ts";
import type { GroupHead } from "./messages.ts";

type Lost = NonNullable<GroupHead["lost"]>;

/** Of which workers and jobs retained events were in messages that are gone, and up to which sequence. */
export function lostRows(fold: Fold, isLost: (streamSequence: number) => boolean): Lost {
  const { index } = fold;
  const workers = new Map<string, number>();
  const jobs = new Map<string, number>();
  for (const chunk of index.columns.chunks) {
    for (let row = 0; row < chunk.length; row++) {
      if (!index.isLive(chunk, row) || !isLost(fold.streamSequenceOf(chunk.segments[row] as number))) continue;
      const sequence = chunk.sequences[row] as number;
      // Rows are in the order of the log, so the last one of each is the highest.
      workers.set(index.holders.workerOf(chunk, row).id, sequence);
      const job = index.holders.jobOf(chunk, row);
      if (job !== undefined && !job.forgotten) jobs.set(job.id, sequence);
    }
  }
  return [
    ...[...jobs].map(([id, sequence]) => ({ isJob: true, id, sequence })),
    ...[...workers].map(([id, sequence]) => ({ isJob: false, id, sequence })),
  ];
}
