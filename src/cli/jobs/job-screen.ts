import { once } from "node:events";
import type { WriteStream } from "node:tty";
import { toJsonString } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Event, EventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { NarrationLevel, OutputStream, type Progress } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { describe, kindOf, timeOfDay } from "../output/describe.ts";
import { LineAssembler } from "../output/lines.ts";
import { printable, type Style, styleFor } from "../output/style.ts";
import { isDone, ProgressBars, progressLine } from "./progress-bars.ts";

/** Milliseconds (of the events' own time) between two lines of progress of one task, where nothing can be drawn. */
const progressLineMs = 1_000;

/** Shows the events of one job. */
export interface JobScreen {
  /** Settles when there is room for more. */
  show(events: readonly Event[]): Promise<void>;
  /** Writes a line of our own. */
  say(line: string): void;
  /** Writes what was held back. */
  finish(): Promise<void>;
}

/** One event per line as proto3 JSON on stdout, for programs; lines of our own on stderr. */
export class JsonScreen implements JobScreen {
  async show(events: readonly Event[]): Promise<void> {
    const text = events.map((event) => `${toJsonString(EventSchema, event)}\n`).join("");
    if (!take(process.stdout, text)) await room(process.stdout);
  }

  say(line: string): void {
    process.stderr.write(`tailrace: ${line}\n`);
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * The job's output where a command of its own would write it, and what the job says about itself on stderr. Into a file or
 * pipe output goes as it is; a terminal gets it in lines in which control characters are visible, and progress as bars.
 */
export class TextScreen implements JobScreen {
  readonly #quiet: boolean;
  readonly #style: Style = styleFor(process.stderr);
  readonly #lines = new LineAssembler();
  readonly #bars: ProgressBars | undefined;
  readonly #progressAt = new Map<string, number>();
  /** Text for each stream in the order of the events. */
  #parts: { readonly stream: WriteStream; readonly data: string | Uint8Array }[] = [];
  /** Whether what was written to stderr as it is ended inside a line. */
  #inLine = false;

  constructor(quiet: boolean) {
    this.#quiet = quiet;
    const drawable = process.stderr.isTTY === true && process.env["TERM"] !== "dumb" && !quiet;
    this.#bars = drawable ? new ProgressBars(this.#style, columnsOf) : undefined;
  }

  async show(events: readonly Event[]): Promise<void> {
    for (const event of events) this.#take(event);
    await this.#write();
  }

  say(line: string): void {
    this.#note(`tailrace: ${line}`);
    void this.#write();
  }

  async finish(): Promise<void> {
    this.#endLines();
    await this.#write();
    // What is said about the end comes below them.
    this.#bars?.leave();
  }

  #take(event: Event): void {
    const { payload } = event;
    switch (payload.case) {
      case "output":
        this.#output(
          payload.value.stream === OutputStream.STDERR ? process.stderr : process.stdout,
          payload.value.data,
        );
        break;
      case "progress":
        if (!this.#quiet) this.#progress(event, payload.value);
        break;
      case "narration":
        if (!this.#quiet && payload.value.level !== NarrationLevel.DEBUG) this.#narrate(event, payload.value.level);
        break;
      case "jobStateChanged":
        // The job narrates its start and its end; how it ended comes last, from whoever follows it.
        break;
      default:
        if (!this.#quiet) this.#narrate(event, NarrationLevel.INFO);
    }
  }

  #output(stream: WriteStream, data: Uint8Array): void {
    if (!stream.isTTY) {
      this.#parts.push({ stream, data });
      if (stream === process.stderr) this.#inLine = data.length > 0 && data[data.length - 1] !== 10;
      return;
    }
    const lines = this.#lines.push(stream === process.stderr ? "stderr" : "stdout", data);
    const text = lines.map((line) => shownLine(line, this.#style)).join("");
    if (text !== "") this.#parts.push({ stream, data: text });
  }

  #narrate(event: Event, level: NarrationLevel): void {
    const text = describe(event);
    // A narration has its own action in front; of anything else its kind says what it is.
    const words = event.payload.case === "narration" ? text : `${kindOf(event)}: ${text}`;
    const safe = printable(words, false);
    const coloured =
      level === NarrationLevel.ERROR
        ? this.#style.red(safe)
        : level === NarrationLevel.WARN
          ? this.#style.yellow(safe)
          : safe;
    this.#note(`${this.#style.dim(timeOfDay(event))}  ${coloured}`);
  }

  #progress(event: Event, progress: Progress): void {
    if (this.#bars !== undefined) {
      this.#bars.update(progress);
      return;
    }
    const timeMs = event.time === undefined ? 0 : timestampMs(event.time);
    const last = this.#progressAt.get(progress.task);
    if (last !== undefined && timeMs - last < progressLineMs && !isDone(progress)) return;
    this.#progressAt.set(progress.task, timeMs);
    this.#note(`${this.#style.dim(timeOfDay(event))}  ${progressLine(progress)}`);
  }

  /** A line of text on stderr, never glued to an unfinished one. */
  #note(line: string): void {
    this.#endLines();
    const begin = this.#inLine ? "\n" : "";
    this.#inLine = false;
    this.#parts.push({ stream: process.stderr, data: `${begin}${line}\n` });
  }

  /** What the job's output left unfinished comes before anything that is said later. */
  #endLines(): void {
    for (const [key, stream] of [
      ["stdout", process.stdout],
      ["stderr", process.stderr],
    ] as const) {
      const line = this.#lines.flush(key);
      if (line !== undefined) this.#parts.push({ stream, data: shownLine(line, this.#style) });
    }
  }

  async #write(): Promise<void> {
    const parts = this.#parts;
    this.#parts = [];
    const erase = this.#bars?.erase() ?? "";
    if (erase !== "") process.stderr.write(erase);
    // Terminals take what they are given at once, so that nothing comes between these writes.
    const full = new Set<WriteStream>();
    for (const { stream, data } of parts) {
      if (!take(stream, data)) full.add(stream);
    }
    const bars = this.#bars?.draw() ?? "";
    if (bars !== "") process.stderr.write(bars);
    await Promise.all([...full].map(room));
  }
}

/** A terminal that does not know its width (a serial line, some containers) says 0. */
function columnsOf(): number {
  return process.stderr.columns || 80;
}

function shownLine(line: string, style: Style): string {
  const safe = printable(line, style.colour);
  // A colour that the job left on must not run into our next line.
  return `${safe}${style.colour && safe.includes("\u001b[") ? "\u001b[0m" : ""}\n`;
}

/** Gives a stream something to write. False: it has enough for now. Whoever read it may have left, which is no error. */
function take(stream: WriteStream, data: string | Uint8Array): boolean {
  return stream.destroyed || data.length === 0 || stream.write(data);
}

/** Settles when the stream takes more, or never will. */
async function room(stream: WriteStream): Promise<void> {
  const settled = new AbortController();
  const { signal } = settled;
  await Promise.race([once(stream, "drain", { signal }), once(stream, "close", { signal })]).catch(() => undefined);
  settled.abort();
}
