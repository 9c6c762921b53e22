import type { AppendBatch } from "../../contract.ts";

/** Keys of the state that appends of this server put which are not over, and the numbers of the appends that put each. */
export class Putting {
  /** Those of a key in order. One that was lost on the way is over only after those behind it, which are refused without it. */
  readonly #putting = new Map<string, number[]>();

  /**
   * An append sets out. Returns which of the keys that it puts or depends on are being put already, and by which append;
   * undefined: none.
   */
  begin(number: number, batch: AppendBatch): ReadonlyMap<string, number> | undefined {
    const after = this.#before(batch);
    for (const key of batch.state?.keys() ?? []) {
      const numbers = this.#putting.get(key);
      if (numbers === undefined) this.#putting.set(key, [number]);
      else numbers.push(number);
    }
    return after;
  }

  /** An append is over, whatever became of it. */
  over(number: number, { state }: AppendBatch): void {
    for (const key of state?.keys() ?? []) {
      const numbers = this.#putting.get(key);
      const at = numbers?.indexOf(number) ?? -1;
      // An urgent one never set out here.
      if (numbers === undefined || at < 0) continue;
      if (numbers.length === 1) this.#putting.delete(key);
      else numbers.splice(at, 1);
    }
  }

  #before({ state, fence }: AppendBatch): ReadonlyMap<string, number> | undefined {
    if (this.#putting.size === 0) return undefined;
    const after = new Map<string, number>();
    for (const keys of [state?.keys() ?? [], fence ?? []]) {
      for (const key of keys) {
        const number = this.#putting.get(key)?.at(-1);
        if (number !== undefined) after.set(key, number);
      }
    }
    return after.size === 0 ? undefined : after;
  }
}
