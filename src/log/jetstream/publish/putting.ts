import type { AppendBatch } from "../../contract.ts";

/** Keys of the state that appends of this server put which are not over, and the number of the last append that puts each. */
export class Putting {
  readonly #last = new Map<string, number>();

  /**
   * An append sets out. Returns which of the keys that it puts or depends on are being put already, and by which append;
   * undefined: none.
   */
  begin(number: number, batch: AppendBatch): ReadonlyMap<string, number> | undefined {
    const after = this.#before(batch);
    for (const key of batch.state?.keys() ?? []) this.#last.set(key, number);
    return after;
  }

  /** An append is over, whatever became of it. */
  over(number: number, { state }: AppendBatch): void {
    for (const key of state?.keys() ?? []) {
      if (this.#last.get(key) === number) this.#last.delete(key);
    }
  }

  #before({ state, fence }: AppendBatch): ReadonlyMap<string, number> | undefined {
    if (this.#last.size === 0) return undefined;
    const after = new Map<string, number>();
    for (const keys of [state?.keys() ?? [], fence ?? []]) {
      for (const key of keys) {
        const number = this.#last.get(key);
        if (number !== undefined) after.set(key, number);
      }
    }
    return after.size === 0 ? undefined : after;
  }
}
