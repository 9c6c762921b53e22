import { toJsonString } from "@bufbuild/protobuf";
import { CommandStatusSchema } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { RunResultSchema, type Segment, WorkerFaultCodeSchema } from "../../../gen/tailrace/v1/transcript_pb.ts";
import {
  type TranscriptCommand,
  type TranscriptEntry,
  TranscriptEntrySchema,
  type TranscriptToolCall,
} from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { CommandStatus, ToolCallState } from "../../client/index.ts";
import { enumWord } from "../output/describe.ts";
import { printable, type Style } from "../output/style.ts";

/** Makes text of the entries of a transcript, each of which may come again when it has changed. */
export interface TranscriptText {
  entry(entry: TranscriptEntry): string;
  /** Commands that run or just ended, all of them each time. */
  commands(commands: readonly TranscriptCommand[]): string;
  /** What ends the text. */
  end(): string;
}

/** One entry per line as proto3 JSON, for programs. */
export class JsonEntries implements TranscriptText {
  entry(entry: TranscriptEntry): string {
    return `${toJsonString(TranscriptEntrySchema, entry)}\n`;
  }

  commands(): string {
    return "";
  }

  end(): string {
    return "";
  }
}

const labelWidth = 9;
const indent = " ".repeat(labelWidth + 2);
/** Entries that are remembered as shown, so that none is shown again when the transcript is read again. */
const maxShown = 20_000;

interface Shown {
  /** Bytes of a text, or of the arguments of a tool call, that were shown, by their offsets. */
  bytes: bigint;
  /** What was shown of a tool call, until all of it was. */
  call: string;
  hasCall: boolean;
  isDone: boolean;
}

/** Who and what, for people. Text appears as it comes; if something else comes in between, it goes on after that. */
export class PrettyEntries implements TranscriptText {
  readonly #style: Style;
  readonly #shown = new Map<bigint, Shown>();
  /** The entry whose text the last line is of, if that line has no end yet. */
  #unfinished: bigint | undefined;
  /** Whether the commands that are known have ended, by their ids. Undefined: none were shown yet. */
  #commands: ReadonlyMap<string, boolean> | undefined;

  constructor(style: Style) {
    this.#style = style;
  }

  entry(entry: TranscriptEntry): string {
    const shown = this.#shownOf(entry);
    if (shown.isDone) return "";
    shown.isDone = entry.isFinal;
    const { content } = entry;
    switch (content.case) {
      case "text":
        return this.#stream(entry, shown, "text", content.value);
      case "thinking":
        return this.#stream(entry, shown, "thinking", content.value);
      case "toolCall":
        return this.#toolCall(entry, content.value, shown);
      default:
        return this.#line(...words(entry));
    }
  }

  commands(commands: readonly TranscriptCommand[]): string {
    const known = this.#commands;
    this.#commands = new Map(commands.map((command) => [command.commandId, hasEnded(command)]));
    return commands.map((command) => this.#command(command, known)).join("");
  }

  end(): string {
    return this.#endLine();
  }

  #command(command: TranscriptCommand, known: ReadonlyMap<string, boolean> | undefined): string {
    const { commandId, status, exitCode } = command;
    const before = known?.get(commandId);
    const name = command.command === "" ? commandId : command.command;
    if (!hasEnded(command)) return before === undefined ? this.#line("running", name) : "";
    // What had ended before anyone looked is told by the tool call that it belongs to.
    if (known === undefined || before === true) return "";
    const code = exitCode === undefined ? "" : `, exit code ${exitCode}`;
    return this.#line("finished", `${name}: ${enumWord(CommandStatusSchema.value, status).replace("_", " ")}${code}`);
  }

  #shownOf({ entryNumber }: TranscriptEntry): Shown {
    let shown = this.#shown.get(entryNumber);
    if (shown === undefined) {
      shown = { bytes: 0n, call: "", hasCall: false, isDone: false };
      this.#shown.set(entryNumber, shown);
      if (this.#shown.size > maxShown) this.#shown.delete(this.#shown.keys().next().value as bigint);
    }
    return shown;
  }

  #stream(
    { entryNumber, isFinal }: TranscriptEntry,
    shown: Shown,
    label: string,
    block: { readonly text: string; readonly startOffset: bigint; readonly endOffset: bigint },
  ): string {
    const isMissing = block.startOffset > shown.bytes;
    const bytes = Buffer.from(block.text);
    const piece = isMissing ? `…${block.text}` : bytes.subarray(Number(shown.bytes - block.startOffset)).toString();
    shown.bytes = block.endOffset;
    const goesOn = this.#unfinished === entryNumber;
    if (piece === "") return isFinal && goesOn ? this.#endLine() : "";
    const before = goesOn ? "" : this.#endLine() + this.#label(label);
    this.#unfinished = entryNumber;
    return before + this.#body(piece, label) + (isFinal ? this.#endLine() : "");
  }

  #toolCall({ entryNumber, isFinal }: TranscriptEntry, call: TranscriptToolCall, shown: Shown): string {
    let text = "";
    if (!shown.hasCall) {
      text += this.#callSoFar(entryNumber, call, shown);
      if (call.state === ToolCallState.DONE || isFinal) {
        shown.hasCall = true;
        shown.call = "";
        if (this.#unfinished === entryNumber) text += this.#endLine();
      }
    }
    if (call.result !== undefined) {
      const { summary, isError } = call.result;
      text += this.#line(isError ? "failed" : "result", summary);
    }
    return text;
  }

  /** What was not shown of a call; all of it where it turned out to be another than its pieces said. */
  #callSoFar(entryNumber: bigint, call: TranscriptToolCall, shown: Shown): string {
    const { name, argumentsJson, argumentsStartOffset } = call;
    const cut = argumentsStartOffset > 0n ? "…" : "";
    const whole = [name, `${cut}${argumentsJson}`].filter((part) => part !== "").join(" ");
    let piece = whole;
    let goesOn = shown.call !== "";
    if (goesOn && whole.startsWith(shown.call)) piece = whole.slice(shown.call.length);
    else if (goesOn && cut !== "" && shown.bytes >= argumentsStartOffset) {
      piece = Buffer.from(argumentsJson)
        .subarray(Number(shown.bytes - argumentsStartOffset))
        .toString();
    } else goesOn = false;
    shown.call = whole;
    shown.bytes = call.argumentsEndOffset;
    if (piece === "") return "";
    const before = goesOn && this.#unfinished === entryNumber ? "" : this.#endLine() + this.#label("tool");
    this.#unfinished = entryNumber;
    return before + this.#body(piece, "tool");
  }

  #line(label: string, text: string): string {
    return `${this.#endLine()}${this.#label(label)}${this.#body(text, label)}\n`;
  }

  #endLine(): string {
    if (this.#unfinished === undefined) return "";
    this.#unfinished = undefined;
    return "\n";
  }

  #label(label: string): string {
    return `${this.#style.named(label.padEnd(labelWidth), label)}  `;
  }

  #body(text: string, label: string): string {
    const body = text
      .split(/\r\n|\n|\r/)
      .map((line) => printable(line, false))
      .join(`\n${indent}`);
    return label === "thinking" ? this.#style.dim(body) : body;
  }
}

function hasEnded({ status }: TranscriptCommand): boolean {
  return status !== CommandStatus.RUNNING && status !== CommandStatus.UNSPECIFIED;
}

/** What an entry that comes as a whole is, and what it says. */
function words({ content }: TranscriptEntry): [label: string, text: string] {
  switch (content.case) {
    case "greeting":
      return ["worker", [content.value.workerName, content.value.model].filter((part) => part !== "").join(", ")];
    case "userMessage":
      return ["user", content.value.segments.map(segmentText).join("")];
    case "systemItem":
      return ["system", content.value.json];
    case "fault":
      return ["error", `${enumWord(WorkerFaultCodeSchema.value, content.value.code)}: ${content.value.message}`];
    case "compaction":
      return ["compacted", content.value.summary];
    case "compactionFailed":
      return ["error", `the context could not be shortened: ${content.value.message}`];
    case "runEnded":
      return ["end", enumWord(RunResultSchema.value, content.value.result).replace("_", " ")];
    case "snapshotEntryJson":
      return ["entry", content.value];
    case "rewindApplied":
      return ["rewound", content.value.targetId];
    default:
      return ["entry", "(of a kind that this release does not know)"];
  }
}

function segmentText({ content }: Segment): string {
  switch (content.case) {
    case "fileRef":
      return `@${content.value}`;
    case "flow":
      return `/${content.value}`;
    case undefined:
      return "";
    default:
      return content.value;
  }
}
