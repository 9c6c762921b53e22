import { toJsonString } from "@bufbuild/protobuf";
import { type Event, EventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { OutputStream } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { describe, kindOf, timeOfDay } from "../output/describe.ts";
import { LineAssembler } from "../output/lines.ts";
import { printable, type Style } from "../output/style.ts";

/** Makes text of events. */
export interface Presenter {
  /** Text for stdout; empty: nothing yet. */
  present(event: Event): string;
  /** Text that was held back in the hope of something better. */
  flush(): string;
  /** Whether `flush` would give something. */
  readonly holdsBack: boolean;
}

/** One event per line as proto3 JSON, for programs. */
export class JsonPresenter implements Presenter {
  readonly holdsBack = false;

  present(event: Event): string {
    return `${toJsonString(EventSchema, event)}\n`;
  }

  flush(): string {
    return "";
  }
}

/** Widest column that the id of a worker or job gets before it pushes the rest aside. */
const maxIdColumn = 24;
const kindColumn = 9;

/** Where an unfinished line of output came from. */
interface LineSource {
  readonly time: string;
  readonly id: string;
  readonly kind: string;
}

/** Time, worker or job, kind and text, for people. Output is put together into lines, wherever its chunks were cut. */
export class PrettyPresenter implements Presenter {
  readonly #style: Style;
  readonly #lines = new LineAssembler();
  readonly #sources = new Map<string, LineSource>();
  #idColumn = 6;

  constructor(style: Style) {
    this.#style = style;
  }

  get holdsBack(): boolean {
    return this.#lines.unfinished().length > 0;
  }

  present(event: Event): string {
    const { payload } = event;
    if (payload.case === "output") return this.#output(event, streamName(payload.value.stream), "", payload.value.data);
    if (payload.case === "commandOutput") {
      const { stream, commandId, content } = payload.value;
      return this.#output(event, streamName(stream), commandId, content);
    }
    const held = this.#endOf(event);
    const kind = kindOf(event);
    return held + this.#line({ time: timeOfDay(event), id: idOf(event), kind }, describe(event));
  }

  flush(): string {
    return this.#lines
      .unfinished()
      .map((key) => this.#heldLine(key, this.#lines.flush(key)))
      .join("");
  }

  #output(event: Event, stream: string, commandId: string, bytes: Uint8Array): string {
    const key = `${sourceOf(event)}${stream}\n${commandId}`;
    const source = { time: timeOfDay(event), id: idOf(event), kind: stream };
    let text = "";
    if (!this.#sources.has(key)) {
      const oldest = this.#lines.oldestIfFull();
      if (oldest !== undefined) text += this.#end(oldest);
    }
    const earlier = this.#sources.get(key);
    const hadHeld = earlier !== undefined && this.#lines.isUnfinished(key);
    for (const [index, line] of this.#lines.push(key, bytes).entries()) {
      text += this.#line(index === 0 && hadHeld ? earlier : source, line);
    }
    this.#sources.set(key, source);
    return text;
  }

  /** What a worker or job left unfinished comes before anything else that it says. */
  #endOf(event: Event): string {
    let text = "";
    for (const key of this.#sources.keys()) {
      if (key.startsWith(sourceOf(event))) text += this.#end(key);
    }
    return text;
  }

  #end(key: string): string {
    const text = this.#heldLine(key, this.#lines.end(key));
    this.#sources.delete(key);
    return text;
  }

  #heldLine(key: string, line: string | undefined): string {
    const source = this.#sources.get(key);
    return line === undefined || source === undefined ? "" : this.#line(source, line);
  }

  #line({ time, id, kind }: LineSource, text: string): string {
    const style = this.#style;
    const who = printable(id, false);
    this.#idColumn = Math.min(maxIdColumn, Math.max(this.#idColumn, who.length));
    const shownKind = kind.padEnd(kindColumn);
    const colouredKind = kind === "stderr" || kind === "alert" ? style.red(shownKind) : style.dim(shownKind);
    const safe = printable(text, style.colour);
    // A colour that the worker left on must not run into our next line.
    const reset = style.colour && safe.includes("\u001b[") ? "\u001b[0m" : "";
    const columns = [style.dim(time), style.named(who.padEnd(this.#idColumn), id), colouredKind, safe + reset];
    return `${columns.join("  ").trimEnd()}\n`;
  }
}

/** Who says it: the worker, or the job where there is none. */
function idOf(event: Event): string {
  if (event.workerId !== "") return event.workerId;
  return event.jobId === "" ? "-" : event.jobId;
}

/** Begins the keys of all outputs of one worker and job. */
function sourceOf(event: Event): string {
  return `${event.workerId}\n${event.jobId}\n`;
}

function streamName(stream: OutputStream): string {
  return stream === OutputStream.STDOUT ? "stdout" : stream === OutputStream.STDERR ? "stderr" : "output";
}
