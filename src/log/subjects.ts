import { hashId } from "../events/cursor.ts";

/** Numbers for the ids of workers, or of jobs, so that blocks hold and compare numbers. Good for the life of the process only. */
export class Subjects {
  readonly #numbers = new Map<string, number>();
  readonly #ids: string[] = [""];
  readonly #hashes: number[] = [0];

  /** The number of an id, given on first sight; 0 for the empty id. */
  intern(id: string): number {
    if (id === "") return 0;
    let number = this.#numbers.get(id);
    if (number === undefined) {
      number = this.#ids.length;
      this.#numbers.set(id, number);
      this.#ids.push(id);
      this.#hashes.push(hashId(id));
    }
    return number;
  }

  /** The number of an id, or undefined if it was never seen. */
  numberOf(id: string): number | undefined {
    return id === "" ? 0 : this.#numbers.get(id);
  }

  /** The id of a number; empty for 0. */
  idOf(number: number): string {
    return this.#ids[number] as string;
  }

  /** The hash of the id of a number, as cursors carry it; 0 for 0. */
  hashOf(number: number): number {
    return this.#hashes[number] as number;
  }
}
