import type { CursorCodec } from "../events/cursor.ts";
import { JsonForm } from "./json-form.ts";
import { ProtobufForm } from "./protobuf-form.ts";
import { SimpleSseForm } from "./simple-sse-form.ts";
import { SseForm } from "./sse-form.ts";
import { TextEncodings } from "./text-encodings.ts";

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
    const texts = new TextEncodings(cursors);
    forms = {
      protobuf: new ProtobufForm(cursors),
      json: new JsonForm(cursors, texts),
      sse: new SseForm(texts),
      simpleSse: new SimpleSseForm(cursors, texts),
    };
    known.set(cursors, forms);
  }
  return forms;
}
