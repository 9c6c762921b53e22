import { crc32 } from "../base/crc32.ts";
import { limits } from "../base/limits.ts";

/** A stretch of a log's history: the events after one sequence up to another. */
export interface Epoch {
  readonly after: number;
  /** `Infinity`: it goes on. */
  readonly through: number;
  /** 24 bits, a hash of who began it. 0: of a log that does not tell its epochs apart, or before the first of them. */
  readonly tag: number;
}

/** Who began an epoch, and after which sequence. */
export interface EpochBeginning {
  readonly after: number;
  readonly writer: string;
}

/**
 * Tells one history of a log from another that has the same sequences. When the log and all that is known of it go back
 * together, since a backup was restored or power was lost, sequences are given out again. But whoever writes then has another name
 * than any who wrote before, and an epoch begins with the first event of each: so no position that comes anew is of an epoch which a
 * position of the lost history was in.
 */
export class Epochs {
  /** In order, without holes, from before everything. */
  readonly #all: Epoch[] = [{ after: -1, through: Number.POSITIVE_INFINITY, tag: 0 }];
  /** Of all but the first, by their writers, in the same order. */
  readonly #afters = new Map<string, number>();
  #forgottenThrough = -1;

  /** Sequence up to which there were more epochs than are remembered. -1: nothing is forgotten. */
  get forgottenThrough(): number {
    return this.#forgottenThrough;
  }

  /** How those that are remembered began, in order. */
  *beginnings(): Iterable<EpochBeginning> {
    for (const [writer, after] of this.#afters) yield { after, writer };
  }

  get size(): number {
    return this.#afters.size;
  }

  /** Puts back into new ones what `beginnings` and `forgottenThrough` gave. */
  restore(beginnings: Iterable<EpochBeginning>, forgottenThrough: number): void {
    for (const { after, writer } of beginnings) this.begin(after, writer);
    this.#forgottenThrough = forgottenThrough;
  }

  /** Whether a writer began one that is remembered. */
  isBegunBy(writer: string): boolean {
    return this.#afters.has(writer);
  }

  /** What comes after a sequence, that of the head, is of another epoch. The writer has begun none that is remembered. */
  begin(after: number, writer: string): void {
    // Whoever looked it up holds on to it, and sees by this that it is over.
    (this.#all.at(-1) as { through: number }).through = after;
    this.#all.push({ after, through: Number.POSITIVE_INFINITY, tag: tagOf(writer) });
    this.#afters.set(writer, after);
    for (const [oldest] of this.#afters) {
      if (this.#afters.size <= limits.logEpochs) return;
      this.#afters.delete(oldest);
      const [, { through }] = this.#all.splice(0, 2) as [Epoch, Epoch];
      this.#forgottenThrough = through;
      this.#all.unshift({ after: -1, through, tag: 0 });
    }
  }

  /** The epoch in which the event with a sequence came, or will. Its `through` changes when another one begins. */
  at(sequence: number): Epoch {
    let low = 0;
    let high = this.#all.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#all[middle] as Epoch).after < sequence) low = middle;
      else high = middle - 1;
    }
    return this.#all[low] as Epoch;
  }

  /** Whether there is an epoch with this tag. */
  knows(tag: number): boolean {
    return this.#all.some((epoch) => epoch.tag === tag);
  }

  /** Whether a position whose cursor has this tag is of this history. One that is too old to tell is taken for one. */
  has(sequence: number, tag: number): boolean {
    return sequence <= this.#forgottenThrough || this.at(sequence).tag === tag;
  }
}

function tagOf(writer: string): number {
  return crc32(new TextEncoder().encode(writer)) >>> 8 || 1;
}
