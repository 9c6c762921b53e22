import type { Clock, StopTimer } from "../base/clock.ts";

/**
 * One timer for any number of things that want to be looked at now and then. An item is looked at up to one tick late,
 * and tells then when it wants to be looked at again.
 */
export class Wheel<Item> {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #look: (item: Item) => number;
  readonly #onTick: () => void;
  readonly #slots = new Map<number, Set<Item>>();
  readonly #slotOf = new Map<Item, number>();
  #stop: StopTimer | undefined;
  #lastTick: number;

  /** `look` returns the milliseconds until the item wants to be looked at again. `onTick` is called at every tick. */
  constructor(clock: Clock, tickMs: number, look: (item: Item) => number, onTick: () => void) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#look = look;
    this.#onTick = onTick;
    this.#lastTick = this.#tickOf(clock.monotonic());
  }

  get size(): number {
    return this.#slotOf.size;
  }

  add(item: Item, delayMs: number): void {
    this.remove(item);
    if (this.#stop === undefined) this.#lastTick = this.#tickOf(this.#clock.monotonic());
    const slot = Math.max(this.#lastTick + 1, Math.ceil((this.#clock.monotonic() + delayMs) / this.#tickMs));
    let items = this.#slots.get(slot);
    if (items === undefined) {
      items = new Set();
      this.#slots.set(slot, items);
    }
    items.add(item);
    this.#slotOf.set(item, slot);
    this.#stop ??= this.#clock.after(this.#tickMs, () => this.#tick());
  }

  remove(item: Item): void {
    const slot = this.#slotOf.get(item);
    if (slot === undefined) return;
    this.#slotOf.delete(item);
    const items = this.#slots.get(slot);
    items?.delete(item);
    if (items?.size === 0) this.#slots.delete(slot);
    if (this.#slotOf.size === 0) {
      this.#stop?.();
      this.#stop = undefined;
    }
  }

  #tick(): void {
    this.#stop = undefined;
    const now = this.#tickOf(this.#clock.monotonic());
    const from = this.#lastTick + 1;
    this.#lastTick = now;
    for (let slot = from; slot <= now; slot++) {
      const items = this.#slots.get(slot);
      if (items === undefined) continue;
      this.#slots.delete(slot);
      for (const item of items) {
        // Looking at one item may have removed another.
        if (this.#slotOf.get(item) !== slot) continue;
        this.#slotOf.delete(item);
        const delayMs = this.#look(item);
        if (delayMs !== Number.POSITIVE_INFINITY) this.add(item, delayMs);
      }
    }
    this.#onTick();
    if (this.#slotOf.size > 0) this.#stop ??= this.#clock.after(this.#tickMs, () => this.#tick());
  }

  #tickOf(ms: number): number {
    return Math.floor(ms / this.#tickMs);
  }
}
