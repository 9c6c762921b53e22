import type { EventBlock } from "../log/block.ts";
import type { WireForm } from "./form.ts";

/** Encodes a block once per form, however many selections want events of it. Goes with the block. */
export class EncodingCache {
  readonly #byBlock = new WeakMap<EventBlock, Map<string, unknown>>();

  get<Entries, Frame>(form: WireForm<Entries, Frame>, block: EventBlock): Entries {
    let byForm = this.#byBlock.get(block);
    if (byForm === undefined) {
      byForm = new Map();
      this.#byBlock.set(block, byForm);
    }
    let entries = byForm.get(form.name) as Entries | undefined;
    if (entries === undefined) {
      entries = form.encode(block);
      byForm.set(form.name, entries);
    }
    return entries;
  }
}
