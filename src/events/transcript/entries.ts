import { create, toBinary } from "@bufbuild/protobuf";
import { type ToolCallState, type ToolResult, ToolResultSchema } from "../../../gen/tailrace/v1/transcript_pb.ts";
import {
  type TranscriptEntry,
  TranscriptEntrySchema,
  type TranscriptText,
  TranscriptTextSchema,
  type TranscriptToolCall,
  TranscriptToolCallSchema,
} from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../../base/limits.ts";
import { endOfText, putPiece, type TextRun, utf8Length, wholeRun } from "./text-run.ts";

export type EntryContent = TranscriptEntry["content"];
/** The two kinds of blocks that grow by deltas. */
export type BlockKind = "text" | "thinking";

/** What an entry costs beside its content: numbers, times, names. */
const entryOverhead = 96;

/** An id or name as a transcript keeps it. */
export function shortName(name: string): string {
  return name.length <= limits.maxTranscriptNameLength ? name : name.slice(0, limits.maxTranscriptNameLength);
}

/** The id by which later events name an entry; empty: none. */
export function nameOf({ content }: TranscriptEntry): string {
  switch (content.case) {
    case "userMessage":
      return shortName(content.value.messageId);
    case "text":
    case "thinking":
      return content.value.blockId;
    case "toolCall":
      return content.value.toolCallId;
    default:
      return "";
  }
}

/** About as many bytes as an entry has on the wire: a function of its content alone, the same wherever it is folded. */
export function sizeOf(entry: TranscriptEntry): number {
  const { content } = entry;
  const own = entryOverhead + utf8Length(entry.jobId);
  switch (content.case) {
    case "text":
    case "thinking": {
      const { blockId, startOffset, endOffset } = content.value;
      return own + utf8Length(blockId) + Number(endOffset - startOffset);
    }
    case "toolCall": {
      const { toolCallId, name, argumentsStartOffset, argumentsEndOffset, result } = content.value;
      const ofResult = result === undefined ? 0 : utf8Length(result.summary) + utf8Length(result.output ?? "");
      const ofNames = 2 * utf8Length(toolCallId) + utf8Length(name);
      return own + ofNames + Number(argumentsEndOffset - argumentsStartOffset) + ofResult;
    }
    default:
      return own + toBinary(TranscriptEntrySchema, entry).length;
  }
}

export function blockContent(kind: BlockKind, blockId: string, run: TextRun): EntryContent {
  return { case: kind, value: withText(create(TranscriptTextSchema, { blockId }), run) } as EntryContent;
}

export function textRun(block: TranscriptText): TextRun {
  return { text: block.text, start: Number(block.startOffset), end: Number(block.endOffset) };
}

export function withText(block: TranscriptText, run: TextRun): TranscriptText {
  return { ...block, text: run.text, startOffset: BigInt(run.start), endOffset: BigInt(run.end) };
}

export function newToolCall(toolCallId: string, name: string, state: ToolCallState): TranscriptToolCall {
  return create(TranscriptToolCallSchema, { toolCallId, name: shortName(name), state });
}

/** A call with a piece of its arguments; the same object if that changes nothing. */
export function withArgumentsPiece(call: TranscriptToolCall, offset: bigint, json: string): TranscriptToolCall {
  const before = {
    text: call.argumentsJson,
    start: Number(call.argumentsStartOffset),
    end: Number(call.argumentsEndOffset),
  };
  const run = putPiece(before, offset, json, limits.maxTranscriptTextBytes);
  return run === before ? call : withArgumentsRun(call, run);
}

export function withArguments(call: TranscriptToolCall, json: string): TranscriptToolCall {
  return withArgumentsRun(call, wholeRun(json, limits.maxTranscriptTextBytes));
}

/** What a tool answered, bounded, and whether something was left out. */
export function boundedResult(result: ToolResult): { readonly result: ToolResult; readonly cut: boolean } {
  const summary = endOfText(result.summary, limits.maxToolSummaryBytes);
  const output = result.output === undefined ? undefined : wholeRun(result.output, limits.maxTranscriptTextBytes).text;
  return {
    result: create(ToolResultSchema, {
      toolCallId: shortName(result.toolCallId),
      summary,
      isError: result.isError,
      ...(output === undefined ? {} : { output }),
    }),
    cut: summary.length < result.summary.length || (output?.length ?? 0) < (result.output?.length ?? 0),
  };
}

/** Whether the beginning of the content is missing. */
export function lacksBeginning(content: EntryContent): boolean {
  switch (content.case) {
    case "text":
    case "thinking":
      return content.value.startOffset > 0n;
    case "toolCall":
      return content.value.argumentsStartOffset > 0n;
    default:
      return false;
  }
}

function withArgumentsRun(call: TranscriptToolCall, run: TextRun): TranscriptToolCall {
  return {
    ...call,
    argumentsJson: run.text,
    argumentsStartOffset: BigInt(run.start),
    argumentsEndOffset: BigInt(run.end),
  };
}
