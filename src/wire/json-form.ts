import { create, toJsonString } from "@bufbuild/protobuf";
import { WatchEventsResponseSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { type CursorCodec, cursorLength, type Position } from "../events/cursor.ts";
import type { ControlFrame, EventRun } from "../stream/form.ts";
import { allocateFrame } from "./chunk.ts";
import { envelope, envelopeHeaderBytes, writeEnvelopeHeader } from "./envelope.ts";
import { forEachEvent } from "./event-runs.ts";
import { ascii } from "./json-writer.ts";
import type { TextEncodings } from "./text-encodings.ts";
import type { TextEntries } from "./text-entries.ts";
import { TextForm } from "./text-form.ts";

const open = ascii('{"events":{"events":[');
const openCursor = ascii('],"cursor":"');
const comma = 0x2c;

/** Frames as a stream of Connect and gRPC carries them in JSON: `WatchEventsResponse` in an envelope. */
export class JsonForm extends TextForm {
  readonly name = "connect+json";
  readonly #cursors: CursorCodec;
  /** What follows the cursor of a batch. */
  readonly #close: Uint8Array;

  constructor(cursors: CursorCodec, texts: TextEncodings) {
    super(texts);
    this.#cursors = cursors;
    const { runtimeId } = cursors;
    this.#close = Buffer.from(runtimeId === "" ? '"}}' : `","runtimeId":${JSON.stringify(runtimeId)}}}`);
  }

  entrySize(entries: TextEntries, index: number): number {
    return entries.jsonEnd(index) - entries.jsonStart(index) + 1;
  }

  events(runs: readonly EventRun<TextEntries>[], through: Position): Uint8Array {
    let messageBytes = open.length + openCursor.length + cursorLength + this.#close.length;
    for (const run of runs) {
      forEachEvent(run, (index) => {
        messageBytes += this.entrySize(run.entries, index);
      });
    }
    // There is a comma less than there are events.
    messageBytes--;
    const frame = allocateFrame(envelopeHeaderBytes + messageBytes);
    writeEnvelopeHeader(frame, 0, messageBytes);
    frame.set(open, envelopeHeaderBytes);
    let at = envelopeHeaderBytes + open.length;
    for (const run of runs) {
      const { entries } = run;
      forEachEvent(run, (index) => {
        at += entries.bytes.copy(frame, at, entries.jsonStart(index), entries.jsonEnd(index));
        frame[at++] = comma;
      });
    }
    at--;
    frame.set(openCursor, at);
    at += openCursor.length;
    this.#cursors.encodePositionInto(frame, at, through);
    frame.set(this.#close, at + cursorLength);
    return frame;
  }

  control(frame: ControlFrame): Uint8Array {
    const message = create(WatchEventsResponseSchema, { frame });
    return envelope(0, Buffer.from(toJsonString(WatchEventsResponseSchema, message)));
  }
}
