import { create } from "@bufbuild/protobuf";
import { type Event, EventKind, type NewEvent } from "../../gen/tailrace/v1/event_pb.ts";
import {
  type WorkerEnded,
  WorkerEndedSchema,
  type WorkerInfo,
  WorkerOutcome,
  WorkerState,
} from "../../gen/tailrace/v1/payloads_pb.ts";

/** What is known of a worker beyond what the log counts. */
export interface WorkerFacts {
  readonly state: WorkerState;
  readonly info: WorkerInfo | undefined;
  readonly ended: WorkerEnded | undefined;
}

/** What is known of a worker that nothing was said of. */
export const unknownWorker: WorkerFacts = { state: WorkerState.IDLE, info: undefined, ended: undefined };

/** Kinds that change what is known of a worker. */
export const factKinds: ReadonlySet<number> = new Set([
  EventKind.WORKER_CREATED,
  EventKind.WORKER_STOPPED,
  EventKind.WORKER_CANCELLED,
  EventKind.WORKER_UPDATED,
  EventKind.WORKER_REMOVED,
  EventKind.WORKER_RESTORED,
  EventKind.WORKER_STATUS,
  EventKind.WORKER_ENDED,
]);

/** What is known of a worker after an event. The one place that knows what the kinds mean for it. */
export function foldWorker(facts: WorkerFacts, payload: NewEvent["payload"] | Event["payload"]): WorkerFacts {
  switch (payload.case) {
    case "workerCreated":
      return { ...facts, info: payload.value.info ?? facts.info };
    case "workerStopped":
      return { ...facts, state: WorkerState.STOPPED };
    case "workerCancelled":
      return { ...facts, state: WorkerState.CANCELLED };
    case "workerRestored":
      return { ...facts, state: WorkerState.IDLE };
    case "workerStatus":
      return { ...facts, state: payload.value.state };
    case "workerUpdated":
      return {
        ...facts,
        info: payload.value.info ?? facts.info,
        state: payload.value.state === WorkerState.UNSPECIFIED ? facts.state : payload.value.state,
      };
    case "workerEnded":
      return { ...facts, state: WorkerState.ENDED, ended: payload.value };
    case "workerRemoved": {
      const { message } = payload.value;
      const ended = create(WorkerEndedSchema, { outcome: WorkerOutcome.REMOVED, message });
      return { ...facts, state: WorkerState.ENDED, ended: facts.ended ?? ended };
    }
    default:
      return facts;
  }
}

/** Whether events of this kind change what is known of their worker. */
export function changesFacts(kind: number): boolean {
  return factKinds.has(kind);
}
