import { toJsonString } from "@bufbuild/protobuf";
import { Severity, type StreamDiagnostic, StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { JobState, type JobStateChanged } from "../../gen/tailrace/v1/payloads_pb.ts";
import type { CursorCodec } from "../events/cursor.ts";
import type { ControlFrame, EventRun } from "../stream/form.ts";
import { allocateFrame } from "./chunk.ts";
import { forEachEvent } from "./event-runs.ts";
import { idField } from "./sse-form.ts";
import type { TextEncodings } from "./text-encodings.ts";
import { dataFieldBytes, type TextEntries } from "./text-entries.ts";
import { TextForm } from "./text-form.ts";

/**
 * The frames of a job for readers who know nothing but `data:` lines (docs/protocol.md, "The simple stream of a job"): an
 * event is one line of JSON, the end is a marker. A marker is never JSON and JSON has no line ends, so no text of a job can
 * forge one.
 */
export class SimpleSseForm extends TextForm {
  readonly name = "sse-simple";
  readonly #cursors: CursorCodec;

  constructor(cursors: CursorCodec, texts: TextEncodings) {
    super(texts);
    this.#cursors = cursors;
  }

  entrySize(entries: TextEntries, index: number): number {
    return entries.end(index) - entries.jsonStart(index) + dataFieldBytes;
  }

  /** The events as the other form of SSE has them, each from its `data:` on. */
  events(runs: readonly EventRun<TextEntries>[]): Uint8Array {
    let length = 0;
    for (const run of runs) {
      forEachEvent(run, (index) => {
        length += this.entrySize(run.entries, index);
      });
    }
    const frame = allocateFrame(length);
    let at = 0;
    for (const run of runs) {
      const { entries } = run;
      forEachEvent(run, (index) => {
        at += entries.bytes.copy(frame, at, entries.jsonStart(index) - dataFieldBytes, entries.end(index));
      });
    }
    return frame;
  }

  control(frame: ControlFrame): Uint8Array {
    return Buffer.from(
      frame.case === "diagnostic" ? diagnosticText(frame.value, this.#cursors) : `: ${frame.case}\n\n`,
    );
  }
}

function diagnosticText(diagnostic: StreamDiagnostic, cursors: CursorCodec): string {
  const { reason, severity, cursor, message } = diagnostic;
  const id = idField(cursor);
  // Events are missing here, which no other notice says. It has a name, so that `onmessage` never sees it.
  if (reason.case === "gap") return `event: diagnostic\ndata: ${jsonOf(diagnostic)}\n${id}\n`;
  if (severity !== Severity.TERMINAL) return `: ${reason.case}\n\n`;
  if (reason.case === "streamEnded" && reason.value.end.case === "job") {
    return `data: ${markerOf(reason.value.end.value)}\n${id}\n`;
  }
  const returnMs = returnAfterMs(reason);
  // Nothing ended but the connection: a marker would tell of the job what is true of the server alone. A reader who is
  // not let in again must hear one all the same.
  if (returnMs !== undefined && !isClosing(cursor, cursors)) return `: ${reason.case}\nretry: ${returnMs}\n${id}\n`;
  // Not the job failed, but the stream of it. The diagnostic tells the two apart for readers who look at names.
  return `event: diagnostic\ndata: ${jsonOf(diagnostic)}\n\ndata: [ERROR] ${oneLine(message)}\n${id}\n`;
}

function jsonOf(diagnostic: StreamDiagnostic): string {
  return toJsonString(StreamDiagnosticSchema, diagnostic);
}

function isClosing(cursor: string, cursors: CursorCodec): boolean {
  try {
    return cursors.decode(cursor).closing;
  } catch {
    return false;
  }
}

/** How a job ended, in the words of the stream. */
function markerOf({ state, message, reason }: JobStateChanged): string {
  if (state === JobState.SUCCEEDED) return "[DONE]";
  if (state === JobState.CANCELLED) return "[CANCELLED]";
  return `[ERROR] ${oneLine(message || reason || "The job failed.")}`;
}

/** Milliseconds after which coming back may help; undefined: it does not. */
function returnAfterMs(reason: StreamDiagnostic["reason"]): number | undefined {
  if (reason.case !== "serverClosing" && reason.case !== "logUnavailable" && reason.case !== "limitExceeded") {
    return undefined;
  }
  const { retryAfter } = reason.value;
  if (retryAfter === undefined) return undefined;
  return Number(retryAfter.seconds) * 1000 + Math.ceil(retryAfter.nanos / 1_000_000);
}

/** Text that may be said on one line: a line end in it would begin a field. */
function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, " ").trim();
}
