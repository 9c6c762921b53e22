import type { CursorCodec } from "../events/cursor.ts";
import type { EventBlock } from "../log/block.ts";
import { JsonForm } from "./json-form.ts";
import { ProtobufForm } from "./protobuf-form.ts";
import { SimpleSseForm } from "./simple-sse-form.ts";
import { SseForm } from "./sse-form.ts";
import { TextEntries, TextSizes } from "./text-entries.ts";

/** The forms of one runtime. */
export interface Forms {
  readonly protobuf: ProtobufForm;
  readonly json: JsonForm;
  readonly sse: SseForm;
  readonly simpleSse: SimpleSseForm;
}

const known = new WeakMap<CursorCodec, Forms>();

/** The forms of the runtime whose cursors these are: always the same ones, so that all edges share encodings. */
export function createForms(cursors: CursorCodec): Forms {
  let forms = known.get(cursors);
  if (forms === undefined) {
    const texts = new WeakMap<EventBlock, TextEntries>();
    const sizes = new TextSizes();
    const entriesOf = (block: EventBlock): TextEntries => {
      let entries = texts.get(block);
      if (entries === undefined) {
        entries = new TextEntries(cursors, block, sizes);
        texts.set(block, entries);
      }
      return entries;
    };
    forms = {
      protobuf: new ProtobufForm(cursors),
      json: new JsonForm(cursors, entriesOf),
      sse: new SseForm(entriesOf),
      simpleSse: new SimpleSseForm(cursors, entriesOf),
    };
    known.set(cursors, forms);
  }
  return forms;
}
