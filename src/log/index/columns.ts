import { Chunk, rowsPerChunk } from "./chunk.ts";
import type { EventArrays } from "./staged.ts";

/** A chunk is rewritten without its dead rows when fewer than one in this many are alive. */
const sparseFactor = 4;

/** All rows of the index in log order, in chunks, so that nothing large is ever copied. */
export class EventColumns {
  #chunks: Chunk[] = [];
  /** Chunk of the last look-up: the next one is mostly near. */
  #recent = 0;

  get chunks(): readonly Chunk[] {
    return this.#chunks;
  }

  /** A chunk with room for at least one more row. */
  #tail(): Chunk {
    const last = this.#chunks[this.#chunks.length - 1];
    if (last !== undefined && last.length < last.capacity) return last;
    const chunk = new Chunk(rowsPerChunk);
    this.#chunks.push(chunk);
    return chunk;
  }

  /** Adds the row of event `i`, whose stored bytes lie at `offset` of `segment`. */
  append(events: EventArrays, i: number, segment: number, offset: number): void {
    const chunk = this.#tail();
    const row = chunk.length++;
    chunk.live++;
    chunk.sequences[row] = events.sequences[i] as number;
    chunk.ordinals[row] = events.ordinals[i] as number;
    chunk.workers[row] = events.workers[i] as number;
    chunk.workerOrdinals[row] = events.workerOrdinals[i] as number;
    chunk.kinds[row] = events.kinds[i] as number;
    chunk.times[row] = events.times[i] as number;
    chunk.segments[row] = segment;
    chunk.offsets[row] = offset;
    chunk.sizes[row] = events.sizes[i] as number;
    if (events.jobs !== undefined) chunk.setJob(row, events.jobs[i] as number, events.jobOrdinals?.[i] as number);
    // A row that was taken back may have had one.
    else if (chunk.jobs !== undefined) chunk.setJob(row, 0, 0);
  }

  /** Number of the first chunk that has a row beyond `sequence`; the number of chunks if none has. */
  chunkAfter(sequence: number): number {
    const chunks = this.#chunks;
    const recent = chunks[this.#recent];
    if (recent !== undefined && recent.length > 0 && sequence < recent.lastSequence) {
      // Not -1, which is looked for like a name.
      const before = this.#recent > 0 ? chunks[this.#recent - 1] : undefined;
      if (before === undefined || before.lastSequence <= sequence) return this.#recent;
    }
    let low = 0;
    let high = chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const chunk = chunks[middle] as Chunk;
      if (chunk.length === 0 || chunk.lastSequence > sequence) high = middle;
      else low = middle + 1;
    }
    const found = chunks[low];
    if (found === undefined || found.length === 0) return chunks.length;
    this.#recent = low;
    return low;
  }

  /** The chunk that holds `sequence`, which must be in the index. */
  chunkOf(sequence: number): Chunk {
    return this.#chunks[this.chunkAfter(sequence - 1)] as Chunk;
  }

  /** Takes back all rows beyond `sequence`. */
  truncateAfter(sequence: number): void {
    for (;;) {
      const last = this.#chunks[this.#chunks.length - 1];
      if (last === undefined) return;
      if (last.length > 0) {
        const length = last.rowAfter(sequence);
        // Nothing is trimmed between staging rows and taking them back, so all of them are alive.
        last.live -= last.length - length;
        last.length = length;
      }
      if (last.length > 0) return;
      this.#chunks.pop();
    }
  }

  /** Lets go of chunks without live rows and packs sparse ones. `isLive` says whether a row of a chunk is alive. */
  pack(touched: ReadonlySet<Chunk>, isLive: (chunk: Chunk, row: number) => boolean): void {
    for (const chunk of touched) {
      // The last chunk is still written to.
      if (chunk === this.#chunks[this.#chunks.length - 1]) continue;
      if (chunk.live * sparseFactor > chunk.length) continue;
      const at = this.#chunks.indexOf(chunk);
      if (at < 0) continue;
      this.#recent = 0;
      if (chunk.live === 0) this.#chunks.splice(at, 1);
      else this.#packAt(at, isLive);
    }
  }

  #packAt(at: number, isLive: (chunk: Chunk, row: number) => boolean): void {
    const chunk = this.#chunks[at] as Chunk;
    // Survivors join those of the chunk before while both fit, or quiet workers would leave a chunk each.
    const before = at > 0 ? (this.#chunks[at - 1] as Chunk) : undefined;
    const joins = before !== undefined && before.live + chunk.live <= rowsPerChunk / sparseFactor;
    const packed = new Chunk((joins ? before.live : 0) + chunk.live);
    for (const source of joins ? [before, chunk] : [chunk]) {
      for (let row = 0; row < source.length; row++) if (isLive(source, row)) packed.copyRow(source, row);
    }
    this.#chunks.splice(joins ? at - 1 : at, joins ? 2 : 1, packed);
  }
}
