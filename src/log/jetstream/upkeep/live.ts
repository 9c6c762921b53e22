import { setImmediate as nextTurn } from "node:timers/promises";
import type { Chunk } from "../../index/chunk.ts";
import type { Fold } from "../fold/fold.ts";

/** Rows, or numbers of messages, that are looked at before others get their turn: some tenths of a millisecond. */
export const stepsPerTurn = 8_192;

/**
 * Looks at every event that is retained, in the order of the log, with the sequence of its message in the stream. Others get
 * their turn in between: what comes, or is removed, meanwhile may be seen or not.
 */
export async function visitLive(
  fold: Fold,
  visit: (chunk: Chunk, row: number, streamSequence: number) => void,
): Promise<void> {
  const { index } = fold;
  const { columns } = index;
  for (let after = 0; ; await nextTurn()) {
    let left = stepsPerTurn;
    // Looked up by sequence: chunks are packed, and let go of, meanwhile.
    for (let at = columns.chunkAfter(after); left > 0; at++) {
      const chunk = columns.chunks[at];
      if (chunk === undefined || chunk.length === 0) return;
      for (let row = chunk.rowAfter(after); row < chunk.length && left > 0; row++, left--) {
        after = chunk.sequences[row] as number;
        if (index.holders.isLive(chunk, row)) visit(chunk, row, fold.streamSequenceOf(chunk.segments[row] as number));
      }
    }
  }
}

/** Sequences in the stream of the messages that something retained is in, in order. */
export async function liveSequences(fold: Fold): Promise<Float64Array> {
  let sequences = new Float64Array(stepsPerTurn);
  let length = 0;
  let last = 0;
  await visitLive(fold, (_chunk, _row, sequence) => {
    if (sequence === last) return;
    last = sequence;
    if (length === sequences.length) {
      const larger = new Float64Array(length * 2);
      larger.set(sequences);
      sequences = larger;
    }
    sequences[length++] = sequence;
  });
  return sequences.subarray(0, length);
}
