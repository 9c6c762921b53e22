import type { GetTranscriptRequest } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { invalidRequest } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { entryOfPageToken } from "./page-tokens.ts";
import { checkId, pageSize } from "./requests.ts";

/** A request for a page of a transcript. */
export interface TranscriptSpec {
  readonly workerId: string;
  readonly pageSize: number;
  readonly newestFirst: boolean;
  /** Number of the entry after which, or newest first before which, the page begins; undefined: at the end. */
  readonly boundary: number | undefined;
  /** Empty: none. */
  readonly ifRevisionNot: string;
  /** Undefined: all entries are wanted. */
  readonly changedSince: TranscriptRevision | undefined;
}

/** What a revision of a transcript names. Changes whenever anything of the answer does. */
export interface TranscriptRevision {
  /** Sequence of the last event that changed the transcript. */
  readonly sequence: number;
  /** Name of the log's history up to that event. */
  readonly history: string;
  readonly droppedEntries: number;
  /** Number of the worker's state. */
  readonly workerState: number;
}

/** Validates a request for a page of a transcript. @throws TailraceError `invalid_request`. */
export function transcriptSpec(request: GetTranscriptRequest): TranscriptSpec {
  const { newestFirst, ifRevisionNot, pageToken } = request;
  const workerId = checkId(request.workerId, "worker_id");
  return {
    workerId,
    pageSize: pageSize(request.pageSize, limits.defaultTranscriptPage, limits.maxTranscriptPage),
    newestFirst,
    boundary: pageToken === "" ? undefined : entryOfPageToken(pageToken, workerId, newestFirst),
    ifRevisionNot,
    changedSince: request.changedSince === "" ? undefined : revisionOf(request.changedSince),
  };
}

export function revisionText({ history, sequence, droppedEntries, workerState }: TranscriptRevision): string {
  return `${history}-${sequence}-${droppedEntries}-${workerState}`;
}

function revisionOf(text: string): TranscriptRevision {
  const parts = /^([0-9a-z]{1,13}\.[0-9a-z]{1,5})-(\d{1,15})-(\d{1,15})-(\d{1,10})$/.exec(text) ?? [];
  const [, history, ...counts] = parts;
  if (history === undefined) throw invalidRequest("changed_since", "use a revision as it was received");
  const [sequence, droppedEntries, workerState] = counts.map(Number) as [number, number, number];
  return { history, sequence, droppedEntries, workerState };
}
