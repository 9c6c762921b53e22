import { origin, type Position } from "../../events/cursor.ts";

/**
 * Where events of one log lie in another that they were copied to, for those sequences only that the state names: a log
 * may have a million events, and its state names few of them.
 */
export class Moved {
  /** Sequences of the old log that are asked for, ascending, and what each is in the new one. */
  readonly #old: Float64Array;
  readonly #sequences: Float64Array;
  readonly #ordinals: Float64Array;
  /** How many of them were met. */
  #met = 0;
  /** Positions that are wanted whole, by their sequence in the old log; undefined: not met yet. */
  readonly #positions: Map<number, Position | undefined>;
  #newest: Position = origin;

  /** `sequences`: those that are asked for. `positions`: those whose place in their worker and job is wanted as well. */
  constructor(sequences: Iterable<number>, positions: Iterable<number>) {
    this.#positions = new Map([...positions].map((sequence) => [sequence, undefined]));
    this.#old = Float64Array.from(new Set([...sequences, ...this.#positions.keys()])).sort();
    this.#sequences = new Float64Array(this.#old.length);
    this.#ordinals = new Float64Array(this.#old.length);
  }

  /** Whether a batch has to end with the event of this sequence in the old log, so that its position is known. */
  endsBatch(sequence: number): boolean {
    return this.#positions.has(sequence);
  }

  /** The next event of the old log has this sequence there. `newest`: of the new log before it, sequence and ordinal. */
  next(sequence: number, newestSequence: number, newestOrdinal: number): void {
    while (this.#met < this.#old.length && (this.#old[this.#met] as number) < sequence) {
      this.#sequences[this.#met] = newestSequence;
      this.#ordinals[this.#met] = newestOrdinal;
      this.#met++;
    }
  }

  /** A batch that ends with the event of this sequence in the old log went up to here. */
  batch(sequence: number, last: Position): void {
    this.#newest = last;
    if (this.#positions.has(sequence)) this.#positions.set(sequence, last);
  }

  /** Nothing comes any more. */
  end(): void {
    this.next(Number.POSITIVE_INFINITY, this.#newest.sequence, this.#newest.ordinal);
  }

  /** Sequence in the new log of the newest copied event at or before one of the old log; 0: there is none. */
  sequence(old: number): number {
    return this.#sequences[this.#indexOf(old)] as number;
  }

  /** Ordinal of the same event. */
  ordinal(old: number): number {
    return this.#ordinals[this.#indexOf(old)] as number;
  }

  /** Position after the same event, in its worker and job unless the event itself was gone. */
  position(old: number): Position {
    const known = this.#positions.get(old);
    return known ?? { ...origin, sequence: this.sequence(old), ordinal: this.ordinal(old) };
  }

  #indexOf(old: number): number {
    let [low, high] = [0, this.#old.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#old[middle] as number) < old) low = middle + 1;
      else high = middle;
    }
    if (this.#old[low] !== old) throw new RangeError(`sequence ${old} was not asked for`);
    return low;
  }
}
