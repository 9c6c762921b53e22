import { WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { TranscriptCommand } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../../base/limits.ts";
import { EntryList } from "./entry-list.ts";

/** What bounds a transcript. */
export interface TranscriptLimits {
  readonly maxEntries: number;
  /** Bytes of all entries together, about as many as they have on the wire. */
  readonly maxBytes: number;
}

export const defaultTranscriptLimits: TranscriptLimits = {
  maxEntries: limits.maxTranscriptEntries,
  maxBytes: limits.maxTranscriptBytes,
};

/** A transcript after some event: all that a fold needs to go on. Immutable, with everything in it. */
export interface TranscriptState {
  readonly entries: EntryList;
  readonly commands: readonly TranscriptCommand[];
  readonly workerState: WorkerState;
  /** Turn that the worker is in; 0: none, or not said. */
  readonly turn: bigint;
  /** Numbers of the entries that are in flight, ascending. */
  readonly openEntries: readonly number[];
  /** Number that the next entry gets. */
  readonly nextEntryNumber: number;
  /** Oldest entries that were dropped. */
  readonly droppedEntries: number;
  /** Sizes of all entries together. */
  readonly bytes: number;
  /** Sequences of the last event that was folded, that changed anything, and that took entries back; 0: none. */
  readonly sequence: number;
  readonly revision: number;
  readonly replaced: number;
  readonly limits: TranscriptLimits;
  /**
   * Whether the entries were read at several instants, so that some know events that are not folded yet. Nothing is
   * dropped then: what the transcript holds in all is not known.
   */
  readonly settling: boolean;
}

/** The transcript of a worker that has said nothing. */
export function emptyTranscript(transcriptLimits: TranscriptLimits = defaultTranscriptLimits): TranscriptState {
  return {
    entries: EntryList.empty,
    commands: [],
    workerState: WorkerState.IDLE,
    turn: 0n,
    openEntries: [],
    nextEntryNumber: 1,
    droppedEntries: 0,
    bytes: 0,
    sequence: 0,
    revision: 0,
    replaced: 0,
    limits: transcriptLimits,
    settling: false,
  };
}
