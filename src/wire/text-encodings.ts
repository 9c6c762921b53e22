import { limits } from "../base/limits.ts";
import type { CursorCodec } from "../events/cursor.ts";
import type { EventBlock } from "../log/block.ts";
import { type TextColumns, TextEntries, TextSizes } from "./text-entries.ts";

/** Events of a block from which on its columns may serve another one. */
const minSpareLength = 64;

/** Blocks as text, each encoded once for all forms of one runtime that are made of it. */
export class TextEncodings {
  readonly #cursors: CursorCodec;
  readonly #sizes = new TextSizes();
  readonly #byBlock = new WeakMap<EventBlock, TextEntries>();
  /** Columns of blocks that were released. */
  readonly #spare: TextColumns[] = [];

  constructor(cursors: CursorCodec) {
    this.#cursors = cursors;
  }

  /** `whole`: all events of the block will be wanted. */
  of(block: EventBlock, whole = false): TextEntries {
    let entries = this.#byBlock.get(block);
    if (entries === undefined) {
      entries = new TextEntries(this.#cursors, block, this.#sizes, this.#columns(block.length), whole);
      this.#byBlock.set(block, entries);
    }
    return entries;
  }

  /** No frame is made of the block any more, in any form: what its text took may serve others. */
  release(entries: TextEntries): void {
    const { block, columns } = entries;
    // What was released before has nothing left that is its own.
    if (this.#byBlock.get(block) !== entries) return;
    this.#byBlock.delete(block);
    entries.release();
    if (columns.ends.length < minSpareLength || this.#spare.length === limits.spareReadBuffers) return;
    this.#spare.push(columns);
  }

  #columns(length: number): TextColumns {
    const spare = length < minSpareLength ? undefined : this.#spare.pop();
    if (spare === undefined || spare.ends.length < length) {
      return {
        starts: new Uint32Array(length),
        jsonStarts: new Uint32Array(length),
        ends: new Uint32Array(length),
      };
    }
    spare.ends.fill(0, 0, length);
    return spare;
  }
}
