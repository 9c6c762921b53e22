import { create } from "@bufbuild/protobuf";
import type { WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import {
  type GetTranscriptResponse,
  GetTranscriptResponseSchema,
  type TranscriptCommand,
  type TranscriptEntry,
} from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../../base/limits.ts";
import { sizeOf } from "../../events/transcript/entries.ts";
import { foldMessage } from "../../events/transcript/messages.ts";
import type { TranscriptState } from "../../events/transcript/state.ts";
import { transcriptPageToken } from "../page-tokens.ts";
import { revisionText, type TranscriptSpec } from "../requests-transcript.ts";

/** What a page is made of, all as of one instant. */
export interface TranscriptInstant {
  readonly transcript: TranscriptState;
  readonly workerState: WorkerState;
  /** Name of the log's history up to an event. */
  readonly historyAt: (sequence: number) => string;
  /** Position of the head in the worker's scope. */
  readonly cursor: string;
}

/** A page of a transcript. */
export function transcriptPage(instant: TranscriptInstant, spec: TranscriptSpec): GetTranscriptResponse {
  const { transcript, workerState, historyAt, cursor } = instant;
  const { droppedEntries, revision: sequence } = transcript;
  const revision = revisionText({ history: historyAt(sequence), sequence, droppedEntries, workerState });
  const answer = create(GetTranscriptResponseSchema, { cursor, revision });
  if (spec.ifRevisionNot === revision) {
    answer.notModified = true;
    return answer;
  }
  const { changedSince } = spec;
  answer.reset =
    changedSince !== undefined &&
    (changedSince.history !== historyAt(changedSince.sequence) ||
      changedSince.sequence < transcript.replaced ||
      // A restored log may not be there yet again.
      changedSince.sequence > sequence);
  answer.state = workerState;
  answer.droppedEntries = BigInt(droppedEntries);
  answer.keptEntries = BigInt(transcript.entries.length);
  answer.fold = foldMessage(transcript);
  if (spec.boundary === undefined) answer.commands = [...transcript.commands];
  const after = answer.reset ? 0 : (changedSince?.sequence ?? 0);
  const { entries, isCut } = select(transcript, spec, after, limits.maxPageBytes - commandBytes(answer.commands));
  const last = entries.at(-1);
  if (isCut && last !== undefined) {
    answer.nextPageToken = transcriptPageToken(spec.workerId, Number(last.entryNumber), spec.newestFirst);
  }
  answer.entries = spec.newestFirst ? entries.reverse() : entries;
  return answer;
}

/** Entries that changed after an event, in the direction of the read, as many as a page takes; at least one. */
function select(
  { entries }: TranscriptState,
  { pageSize, newestFirst, boundary }: TranscriptSpec,
  changedAfter: number,
  maxBytes: number,
): { readonly entries: TranscriptEntry[]; readonly isCut: boolean } {
  const page: TranscriptEntry[] = [];
  let bytes = 0;
  for (const entry of newestFirst ? entries.descending(boundary) : entries.ascending(boundary ?? 0)) {
    if (Number(entry.revision) <= changedAfter) continue;
    bytes += sizeOf(entry);
    if (page.length >= pageSize || (page.length > 0 && bytes > maxBytes)) return { entries: page, isCut: true };
    page.push(entry);
  }
  return { entries: page, isCut: false };
}

/** About as many bytes as commands have on the wire, never fewer. */
export function commandBytes(commands: readonly TranscriptCommand[]): number {
  let bytes = 0;
  for (const { stdout, stderr, command } of commands) {
    bytes += 2048 + 3 * command.length + (stdout?.content.length ?? 0) + (stderr?.content.length ?? 0);
  }
  return bytes;
}
