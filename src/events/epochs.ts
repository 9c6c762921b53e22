import { limits } from "../base/limits.ts";

/** A stretch of a log's history, which began when a process that opened the log first wrote to it. */
export interface Epoch {
  /** Its events are those after this sequence ... */
  readonly after: number;
  /** ... up to this one. `Infinity`: it goes on. */
  readonly through: number;
  /** 24 random bits. 0: of a log that does not tell its epochs apart, or before the first of them. */
  readonly tag: number;
}

/**
 * Tells one history of a log from another that has the same sequences. When the log and all that is known of it go back
 * together, since a backup was restored or power was lost, sequences are given out again. But whoever writes then has opened the log
 * since, so each position that comes anew is of an epoch that no position of the lost history was in: its tag is another.
 */
export class Epochs {
  /** In order, without holes, from before everything. */
  readonly #all: Epoch[] = [{ after: -1, through: Number.POSITIVE_INFINITY, tag: 0 }];
  #forgottenThrough = -1;

  /** The one that goes on. */
  get newest(): Epoch {
    return this.#all.at(-1) as Epoch;
  }

  /** Sequence up to which there were more epochs than are remembered. -1: nothing is forgotten. */
  get forgottenThrough(): number {
    return this.#forgottenThrough;
  }

  /** Those that began, in order. */
  entries(): readonly Epoch[] {
    return this.#all.slice(1);
  }

  /** Puts back into new ones what `entries` and `forgottenThrough` gave. */
  restore(entries: Iterable<Pick<Epoch, "after" | "tag">>, forgottenThrough: number): void {
    for (const { after, tag } of entries) this.begin(after, tag);
    this.#forgottenThrough = forgottenThrough;
  }

  /** What comes after a sequence, which is that of the head, is of another epoch. One in which nothing came is no more. */
  begin(after: number, tag: number): void {
    const { newest } = this;
    // Whoever looked it up holds on to it, and sees by this that it is over.
    (newest as { through: number }).through = after;
    if (newest.after === after) this.#all.pop();
    this.#all.push({ after, through: Number.POSITIVE_INFINITY, tag });
    if (this.#all.length - 1 <= limits.logEpochs) return;
    const [, oldest] = this.#all.splice(0, 2) as [Epoch, Epoch];
    this.#forgottenThrough = oldest.through;
    this.#all.unshift({ after: -1, through: oldest.through, tag: 0 });
  }

  /** Whether there is an epoch with this tag. */
  knows(tag: number): boolean {
    return this.#all.some((epoch) => epoch.tag === tag);
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

  /** Whether a position whose cursor has this tag is of this history. One that is too old to tell is taken for one. */
  has(sequence: number, tag: number): boolean {
    return sequence <= this.#forgottenThrough || this.at(sequence).tag === tag;
  }
}
