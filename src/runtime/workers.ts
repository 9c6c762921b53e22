import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type GetWorkerRequest,
  type GetWorkerResponse,
  GetWorkerResponseSchema,
  type ListWorkersRequest,
  type ListWorkersResponse,
  ListWorkersResponseSchema,
  type Worker,
  WorkerSchema,
} from "../../gen/tailrace/v1/worker_service_pb.ts";
import { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { CursorCodec } from "../events/cursor.ts";
import type { EventLog, ScopeBounds, WorkerRecord } from "../log/contract.ts";
import { workerOfPageToken, workerPageToken } from "./page-tokens.ts";
import { checkId, pageSize } from "./requests.ts";
import { transcriptKey } from "./transcripts/kept.ts";
import { factsKey, type WorkerProjection } from "./worker-projection.ts";

/** A page of workers in the order of their ids, as of one instant. @throws TailraceError `invalid_request`. */
export function listWorkers(
  log: EventLog,
  cursors: CursorCodec,
  projection: WorkerProjection,
  request: ListWorkersRequest,
): ListWorkersResponse {
  const size = pageSize(request.pageSize, limits.defaultWorkerPage, limits.maxWorkerPage);
  const after = request.pageToken === "" ? "" : workerOfPageToken(request.pageToken);
  const bounds = log.bounds({ kind: "runtime" });
  const revision = revisionOf(cursors, bounds);
  const answer = create(ListWorkersResponseSchema, { cursor: cursors.encode(bounds.head), revision });
  if (request.ifRevisionNot === revision) {
    answer.notModified = true;
    return answer;
  }
  const page = firstAfter(log.workers(), after, size + 1);
  for (const record of page.slice(0, size)) answer.workers.push(workerOf(log, cursors, projection, record));
  if (page.length > size) answer.nextPageToken = workerPageToken((page[size - 1] as WorkerRecord).workerId);
  return answer;
}

/** One worker. @throws TailraceError `worker_not_found`, `invalid_request`. */
export function getWorker(
  log: EventLog,
  cursors: CursorCodec,
  projection: WorkerProjection,
  request: GetWorkerRequest,
): GetWorkerResponse {
  const workerId = checkId(request.workerId, "worker_id");
  const record = log.worker(workerId);
  if (record === undefined) {
    throw new TailraceError("worker_not_found", { workerId }, `There is no worker "${workerId}".`);
  }
  const bounds = log.bounds({ kind: "workers", workerIds: [workerId] });
  const revision = revisionOf(cursors, bounds, record);
  const answer = create(GetWorkerResponseSchema, { cursor: cursors.encode(bounds.head), revision });
  if (request.ifRevisionNot === revision) answer.notModified = true;
  else answer.worker = workerOf(log, cursors, projection, record);
  return answer;
}

/** Workers that have ended long ago and have nothing retained, with the state to remove. */
export function forgettableWorkers(
  log: EventLog,
  projection: WorkerProjection,
  nowMs: number,
): { readonly workerIds: string[]; readonly state: ReadonlyMap<string, null> } {
  const workerIds: string[] = [];
  const state = new Map<string, null>();
  for (const { workerId, retainedEvents, lastTimeMs } of log.workers()) {
    if (retainedEvents > 0 || nowMs - lastTimeMs < limits.workerMemoryMs) continue;
    if (projection.end(workerId) === undefined) continue;
    workerIds.push(workerId);
    state.set(factsKey(workerId), null);
    state.set(transcriptKey(workerId), null);
  }
  return { workerIds, state };
}

function workerOf(log: EventLog, cursors: CursorCodec, projection: WorkerProjection, record: WorkerRecord): Worker {
  const { workerId } = record;
  const { state, info, ended } = projection.facts(workerId);
  const bounds = log.bounds({ kind: "workers", workerIds: [workerId] });
  return create(WorkerSchema, {
    workerId,
    state,
    ...(info === undefined ? {} : { info }),
    createTime: timestampFromMs(record.createTimeMs),
    lastEventTime: timestampFromMs(record.lastTimeMs),
    lastWorkerSequence: BigInt(record.lastOrdinal),
    retainedEvents: BigInt(record.retainedEvents),
    retainedBytes: BigInt(record.retainedBytes),
    earliestCursor: cursors.encode(bounds.floor),
    latestCursor: cursors.encode(bounds.head),
    ...(ended === undefined ? {} : { ended }),
  });
}

/** Changes whenever an event comes or is trimmed: of the worker or, without one, of anything. */
function revisionOf(cursors: CursorCodec, bounds: ScopeBounds, worker?: WorkerRecord): string {
  const history = cursors.historyAt(bounds.head.sequence);
  return worker === undefined
    ? `${history}-${bounds.head.sequence}-${bounds.floor.sequence}`
    : `${history}-${worker.lastOrdinal}-${bounds.floor.workerOrdinal}`;
}

/** The first `count` workers whose ids come after `after`, without sorting all of them. */
function firstAfter(workers: Iterable<WorkerRecord>, after: string, count: number): WorkerRecord[] {
  const page: WorkerRecord[] = [];
  for (const worker of workers) {
    if (worker.workerId <= after) continue;
    const last = page.at(-1);
    if (page.length === count && last !== undefined && worker.workerId >= last.workerId) continue;
    page.splice(placeOf(page, worker.workerId), 0, worker);
    if (page.length > count) page.pop();
  }
  return page;
}

function placeOf(page: readonly WorkerRecord[], workerId: string): number {
  let low = 0;
  let high = page.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((page[middle] as WorkerRecord).workerId < workerId) low = middle + 1;
    else high = middle;
  }
  return low;
}
