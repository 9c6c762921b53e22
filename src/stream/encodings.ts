import type { EventBlock } from "../log/block.ts";
import type { WireForm } from "./form.ts";

interface Encoding {
  readonly form: WireForm<unknown, unknown>;
  readonly entries: unknown;
}

/** Encodes a block once per form, however many selections want events of it. Goes with the block. */
export class EncodingCache {
  readonly #byBlock = new WeakMap<EventBlock, Map<string, Encoding>>();

  /** `whole`: all events of the block will be wanted. */
  get<Entries, Frame>(form: WireForm<Entries, Frame>, block: EventBlock, whole: boolean): Entries {
    let byForm = this.#byBlock.get(block);
    if (byForm === undefined) {
      byForm = new Map();
      this.#byBlock.set(block, byForm);
    }
    let encoding = byForm.get(form.name);
    if (encoding === undefined) {
      encoding = { form: form as unknown as Encoding["form"], entries: form.encode(block, whole) };
      byForm.set(form.name, encoding);
    }
    return encoding.entries as Entries;
  }

  /** No frame is made of a block any more, in any form. */
  release(block: EventBlock): void {
    const byForm = this.#byBlock.get(block);
    if (byForm === undefined) return;
    this.#byBlock.delete(block);
    for (const { form, entries } of byForm.values()) form.release?.(entries);
  }
}
