import type { Fold } from "../fold/fold.ts";
import type { GroupHead } from "../stream/heads.ts";

type Lost = NonNullable<GroupHead["lost"]>;

/** Messages that are gone. */
export interface LostMessages {
  /** Sequences in the stream: all of them are from the first on, and before the second. */
  readonly from: number;
  readonly before: number;
  /** Whether a message between them is one of them. Undefined: all are. */
  readonly has?: (streamSequence: number) => boolean;
}

/**
 * Of which workers and jobs retained events were in messages that are gone, and up to which sequence. Takes as long as there
 * are events between the first and the last of those messages.
 */
export function lostRows(fold: Fold, { from, before, has }: LostMessages): Lost {
  const { index } = fold;
  const workers = new Map<string, number>();
  const jobs = new Map<string, number>();
  // Rows lie in the order of the log, which is that of the messages.
  for (const chunk of index.columns.chunks) {
    const at = (row: number) => fold.streamSequenceOf(chunk.segments[row] as number);
    if (chunk.length === 0 || at(chunk.length - 1) < from) continue;
    if (at(0) >= before) break;
    for (let row = firstRow(chunk.length, (row) => at(row) >= from); row < chunk.length; row++) {
      const streamSequence = at(row);
      if (streamSequence >= before) break;
      if (!index.holders.isLive(chunk, row) || has?.(streamSequence) === false) continue;
      const sequence = chunk.sequences[row] as number;
      // The last one of each is the highest.
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

/** The first row for which something holds that holds for all behind it. */
function firstRow(length: number, holds: (row: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
