import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import {
  type GetTranscriptResponse,
  GetTranscriptResponseSchema,
  TranscriptFoldSchema,
} from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { transcriptOf, wholeTranscript } from "../../events/transcript/messages.ts";
import type { TranscriptLimits, TranscriptState } from "../../events/transcript/state.ts";
import type { EventLog } from "../../log/contract.ts";

/** Where the log's state keeps transcripts. */
export const transcriptPrefix = "transcript/";

/** Key under which the log keeps the transcript of a worker. */
export function transcriptKey(workerId: string): string {
  return `${transcriptPrefix}${workerId}`;
}

/** Keys that are put, without ever having a value, with a transcript that lost entries, which all servers lose with that. */
export const cutPrefix = "transcript-cut/";

export function cutKey(workerId: string): string {
  return `${cutPrefix}${workerId}`;
}

/** Sequence of the last event in a kept transcript. Its entries are not decoded. */
export function sequenceOfKept(bytes: Uint8Array): number {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === GetTranscriptResponseSchema.field.fold.number) {
      return Number(fromBinary(TranscriptFoldSchema, reader.bytes()).sequence);
    }
    reader.skip(wireType, field);
  }
  return 0;
}

export function encodeTranscript(state: TranscriptState): Uint8Array {
  return toBinary(GetTranscriptResponseSchema, wholeTranscript(state));
}

/** The transcript that the log keeps; undefined: none. */
export function keptTranscript(log: EventLog, workerId: string, limits: TranscriptLimits): TranscriptState | undefined {
  const bytes = log.state(transcriptKey(workerId));
  return bytes === undefined ? undefined : transcriptOf(fromBinary(GetTranscriptResponseSchema, bytes), limits);
}

/** Bytes of the transcripts that the log keeps, by worker. */
export function keptSizes(log: EventLog): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const [key, bytes] of log.stateEntries(transcriptPrefix))
    sizes.set(key.slice(transcriptPrefix.length), bytes.length);
  return sizes;
}

/** Calls back with every sequence of the log that a kept transcript names. */
export function eachSequence(bytes: Uint8Array, note: (sequence: number) => void): void {
  mapSequences(fromBinary(GetTranscriptResponseSchema, bytes), (sequence) => {
    note(Number(sequence));
    return sequence;
  });
}

/** The same transcript in a log that its events were copied to. */
export function movedTranscript(bytes: Uint8Array, move: (sequence: number) => number): Uint8Array {
  const transcript = fromBinary(GetTranscriptResponseSchema, bytes);
  mapSequences(transcript, (sequence) => BigInt(move(Number(sequence))));
  return toBinary(GetTranscriptResponseSchema, transcript);
}

function mapSequences({ fold, entries }: GetTranscriptResponse, move: (sequence: bigint) => bigint): void {
  if (fold !== undefined) {
    fold.sequence = move(fold.sequence);
    fold.revisionSequence = move(fold.revisionSequence);
    fold.replacedSequence = move(fold.replacedSequence);
  }
  for (const entry of entries) {
    entry.revision = move(entry.revision);
    entry.createSequence = move(entry.createSequence);
  }
}
