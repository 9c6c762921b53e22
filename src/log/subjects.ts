import { hashId } from "../events/cursor.ts";
import { NumberedTable } from "./numbered-table.ts";

const maxNumber = 0xffff_ffff;

/** Numbers for the ids of workers, or of jobs, so that blocks hold and compare numbers. Good for the life of the process only. */
export class Subjects {
  readonly #named = new NumberedTable<{ readonly id: string; readonly hash: number }>();
  #last = 0;

  /** A number for an id, from 1, that names nothing else for billions of numbers to come. */
  add(id: string): number {
    do this.#last = this.#last === maxNumber ? 1 : this.#last + 1;
    while (this.#named.get(this.#last) !== undefined);
    this.#named.set(this.#last, { id, hash: hashId(id) });
    return this.#last;
  }

  /** Lets a number go: from now on it is unknown. */
  drop(number: number): void {
    this.#named.delete(number);
  }

  /** The id of a number; empty for 0 and for numbers that are unknown. */
  idOf(number: number): string {
    return number === 0 ? "" : (this.#named.get(number)?.id ?? "");
  }

  /** The hash of the id of a number, as cursors carry it; 0 for 0 and for numbers that are unknown. */
  hashOf(number: number): number {
    return number === 0 ? 0 : (this.#named.get(number)?.hash ?? 0);
  }
}
