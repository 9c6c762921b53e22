import type { EventBlock } from "../log/block.ts";
import type { WireForm } from "./form.ts";

/** Encodes a block once per form, however many selections want events of it. Goes with the block. */
export class EncodingCache {
  readonly #byBlock = new WeakMap<EventBlock, Map<string, unknown>>();

  /** `whole`: all events of the block will be wanted. */
  get<Entries, Frame>(form: WireForm<Entries, Frame>, block: EventBlock, whole: boolean): Entries {
    let byForm = this.#byBlock.get(block);
    if (byForm === undefined) {
      byForm = new Map();
      this.#byBlock.set(block, byForm);
    }
    let entries = byForm.get(form.name) as Entries | undefined;
    if (entries === undefined) {
      entries = form.encode(block, whole);
      byForm.set(form.name, entries);
    }
    return entries;
  }

  /** No frame is made of a block any more, and nobody else has it. */
  release<Entries, Frame>(form: WireForm<Entries, Frame>, block: EventBlock): void {
    const entries = this.#byBlock.get(block)?.get(form.name) as Entries | undefined;
    this.#byBlock.delete(block);
    if (entries !== undefined) form.release?.(entries);
  }
}
