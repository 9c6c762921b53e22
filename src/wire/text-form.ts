import type { Position } from "../events/cursor.ts";
import type { EventBlock } from "../log/block.ts";
import type { ControlFrame, EventRun, WireForm } from "../stream/form.ts";
import { reuseFrame } from "./chunk.ts";
import type { TextEncodings } from "./text-encodings.ts";
import type { TextEntries } from "./text-entries.ts";

/** What forms have in common whose entries are text. An event is written once for all of them. */
export abstract class TextForm implements WireForm<TextEntries, Uint8Array> {
  abstract readonly name: string;
  readonly #texts: TextEncodings;

  constructor(texts: TextEncodings) {
    this.#texts = texts;
  }

  abstract entrySize(entries: TextEntries, index: number): number;
  abstract events(runs: readonly EventRun<TextEntries>[], through: Position): Uint8Array;
  abstract control(frame: ControlFrame): Uint8Array;

  encode(block: EventBlock, whole?: boolean): TextEntries {
    return this.#texts.of(block, whole);
  }

  frameSize(frame: Uint8Array): number {
    return frame.length;
  }

  release(entries: TextEntries): void {
    this.#texts.release(entries);
  }

  reuse(frame: Uint8Array): void {
    reuseFrame(frame);
  }
}
