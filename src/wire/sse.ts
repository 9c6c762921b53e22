import type { CursorCodec } from "../events/cursor.ts";
import { createForms } from "./forms.ts";
import type { SimpleSseForm } from "./simple-sse-form.ts";
import type { SseForm } from "./sse-form.ts";

/** The SSE form of the runtime whose cursors these are. */
export function sseForm({ cursors }: { readonly cursors: CursorCodec }): SseForm {
  return createForms(cursors).sse;
}

/** The simple SSE form of that runtime: jobs for readers of `data:` lines. */
export function simpleSseForm({ cursors }: { readonly cursors: CursorCodec }): SimpleSseForm {
  return createForms(cursors).simpleSse;
}
