import type { GetTranscriptRequest, GetTranscriptResponse } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { TailraceError } from "../../base/errors.ts";
import type { CursorCodec } from "../../events/cursor.ts";
import type { EventLog } from "../../log/contract.ts";
import { caughtUp } from "../decided.ts";
import { transcriptSpec } from "../requests-transcript.ts";
import type { WorkerProjection } from "../worker-projection.ts";
import { transcriptPage } from "./page.ts";
import type { Transcripts } from "./transcripts.ts";

/** What a page is read from. */
export interface TranscriptSources {
  readonly log: EventLog;
  readonly cursors: CursorCodec;
  readonly workers: WorkerProjection;
  readonly transcripts: Transcripts;
}

/**
 * A page of a worker's transcript, once all that is committed is folded.
 * @throws TailraceError `worker_not_found`, `invalid_request`, `log_unavailable`.
 */
export async function getTranscript(
  { log, cursors, workers, transcripts }: TranscriptSources,
  request: GetTranscriptRequest,
): Promise<GetTranscriptResponse> {
  const spec = transcriptSpec(request);
  const { workerId } = spec;
  if (log.worker(workerId) === undefined) await caughtUp(log);
  await transcripts.ready(workerId);
  // Nothing is awaited from here on, so no event comes in between: the page and its cursor are one instant.
  if (log.worker(workerId) === undefined) {
    throw new TailraceError("worker_not_found", { workerId }, `There is no worker "${workerId}".`);
  }
  const { head } = log.bounds({ kind: "workers", workerIds: [workerId] });
  const instant = {
    transcript: transcripts.of(workerId),
    workerState: workers.facts(workerId).state,
    historyAt: (sequence: number) => cursors.historyAt(sequence),
    cursor: cursors.encode(head),
  };
  return transcriptPage(instant, spec);
}
