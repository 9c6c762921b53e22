import type { CursorCodec } from "../events/cursor.ts";
import { createForms } from "./forms.ts";
import type { SseForm } from "./sse-form.ts";

/** The SSE form of the runtime whose cursors these are. */
export function sseForm({ cursors }: { readonly cursors: CursorCodec }): SseForm {
  return createForms(cursors).sse;
}
