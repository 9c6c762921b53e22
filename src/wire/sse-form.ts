import { toJsonString } from "@bufbuild/protobuf";
import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { BookmarkSchema, StreamOpenedSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import type { ControlFrame, EventRun } from "../stream/form.ts";
import { allocateFrame } from "./chunk.ts";
import type { TextEntries } from "./text-entries.ts";
import { TextForm } from "./text-form.ts";

/**
 * Frames as server-sent events (docs/protocol.md, "SSE"). The id is the last line of an event, so that one that was cut
 * never moves the reader on. A batch is its events and nothing else: each has its own cursor.
 */
export class SseForm extends TextForm {
  readonly name = "sse";

  entrySize(entries: TextEntries, index: number): number {
    return entries.end(index) - entries.start(index);
  }

  events(runs: readonly EventRun<TextEntries>[]): Uint8Array {
    const pieces = piecesOf(runs);
    const [only] = pieces;
    // Events that were written one after the other are a frame as they lie there.
    if (pieces.length === 1 && only !== undefined) return only.entries.frame(only.begin, only.end);
    let length = 0;
    for (const { begin, end } of pieces) length += end - begin;
    const frame = allocateFrame(length);
    let at = 0;
    for (const { entries, begin, end } of pieces) at += entries.bytes.copy(frame, at, begin, end);
    return frame;
  }

  control(frame: ControlFrame): Uint8Array {
    return Buffer.from(`event: ${frame.case}\ndata: ${jsonOf(frame)}\n${idField(frame.value.cursor)}\n`);
  }
}

/** Text that lies together. */
interface Piece {
  readonly entries: TextEntries;
  readonly begin: number;
  readonly end: number;
}

function piecesOf(runs: readonly EventRun<TextEntries>[]): Piece[] {
  const pieces: Piece[] = [];
  for (const { entries, from, to, indices } of runs) {
    const count = indices === undefined ? to - from : indices.length;
    let begin = 0;
    let end = 0;
    for (let i = 0; i < count; i++) {
      const index = indices === undefined ? from + i : (indices[i] as number);
      const start = entries.start(index);
      if (start !== end) {
        if (end > begin) pieces.push({ entries, begin, end });
        begin = start;
      }
      end = entries.end(index);
    }
    if (end > begin) pieces.push({ entries, begin, end });
  }
  return pieces;
}

/**
 * The line of an id, or none: an empty id would make an EventSource forget its position, and one with a line end would
 * forge a field.
 */
export function idField(cursor: string): string {
  return /^[\x21-\x7e]+$/.test(cursor) ? `id: ${cursor}\n` : "";
}

function jsonOf(frame: ControlFrame): string {
  switch (frame.case) {
    case "opened":
      return toJsonString(StreamOpenedSchema, frame.value);
    case "bookmark":
      return toJsonString(BookmarkSchema, frame.value);
    case "diagnostic":
      return toJsonString(StreamDiagnosticSchema, frame.value);
  }
}
