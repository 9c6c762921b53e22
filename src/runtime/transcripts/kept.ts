import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { GetTranscriptResponseSchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { transcriptOf, wholeTranscript } from "../../events/transcript/messages.ts";
import type { TranscriptLimits, TranscriptState } from "../../events/transcript/state.ts";
import type { EventLog } from "../../log/contract.ts";

const statePrefix = "transcript/";

/** Key under which the log keeps the transcript of a worker. */
export function transcriptKey(workerId: string): string {
  return `${statePrefix}${workerId}`;
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
  for (const [key, bytes] of log.stateEntries(statePrefix)) sizes.set(key.slice(statePrefix.length), bytes.length);
  return sizes;
}
