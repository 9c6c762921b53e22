import { create, fromBinary } from "@bufbuild/protobuf";
import { EventKind, type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { type PublishEventsRequest, PublishEventsRequestSchema } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { invalidRequest } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { kindName, runtimeOnlyKinds } from "../events/kinds.ts";
import { EventScanner } from "../events/scan.ts";
import { pendingEvent } from "../events/stored.ts";
import { changesFacts, foldWorker, type WorkerFacts } from "../events/worker-facts.ts";
import type { AppendResult, EventLog, PendingEvent, StatePut } from "../log/contract.ts";
import { encodeFacts, factsKey, type WorkerProjection } from "./worker-projection.ts";

/** A PublishEvents request, whose events may be encoded still: `tailrace.v1.NewEvent`. */
export type PublishRequest = Pick<PublishEventsRequest, "producerId" | "firstProducerSequence"> & {
  readonly events: readonly (NewEvent | Uint8Array)[];
};

/** Messages and groups within each other: 100, which readers allow, less the two that an event is in when they read it. */
const maxDepth = 98;

/** A batch that was checked and encoded, on its way into the log. */
export interface PreparedBatch {
  readonly events: readonly PendingEvent[];
  /** The same events as messages, where what they say of their worker matters. */
  readonly facts: readonly { readonly workerId: string; readonly payload: NewEvent["payload"] }[];
  readonly source: EventSource;
}

/**
 * Who says it: someone outside, through PublishEvents, who may not say what the runtime says; code in the process, who may,
 * except the states of jobs; or the runtime itself.
 */
export type EventSource = "outside" | "process" | "runtime";

/** Whether a job takes events. @throws TailraceError `job_not_found`, `job_ended`. */
export type AdmitJob = (jobId: string) => void;

/** What is known of a worker once everything that is on its way is committed. */
interface Accepted {
  facts: WorkerFacts;
  /** Batches on their way that say something of the worker. */
  inFlight: number;
}

/**
 * Checks events and appends them. A worker is created by its first event, in the same batch; what an event says of its
 * worker is put into the log's state with it; a worker that has ended takes no more.
 */
export class EventPublisher {
  readonly #log: EventLog;
  readonly #projection: WorkerProjection;
  readonly #admitJob: AdmitJob;
  readonly #accepted = new Map<string, Accepted>();
  readonly #scanner = new EventScanner((kind) => !runtimeOnlyKinds.has(kind) && !changesFacts(kind));

  constructor(log: EventLog, projection: WorkerProjection, admitJob: AdmitJob) {
    this.#log = log;
    this.#projection = projection;
    this.#admitJob = admitJob;
  }

  /**
   * Checks and encodes events, or takes those that are encoded. @throws TailraceError `invalid_request`.
   */
  prepare(events: readonly (NewEvent | Uint8Array)[], source: EventSource): PreparedBatch {
    const pending: PendingEvent[] = [];
    const facts: { workerId: string; payload: NewEvent["payload"] }[] = [];
    events.forEach((given, index) => {
      const scanned = given instanceof Uint8Array ? this.#scanner.scan(given) : undefined;
      if (scanned !== undefined) {
        pending.push(scanned);
        return;
      }
      const event = given instanceof Uint8Array ? decodeNewEvent(given, index) : given;
      for (const part of splitOutput(event)) {
        const encoded = pendingEvent(part, index);
        requireSayable(encoded.kind, source, index);
        if (changesFacts(encoded.kind)) {
          if (encoded.workerId === "") throw invalidRequest(`events[${index}].worker_id`, "this kind needs a worker");
          facts.push({ workerId: encoded.workerId, payload: part.payload });
        }
        pending.push(encoded);
      }
    });
    return { events: pending, facts, source };
  }

  /**
   * Appends a batch, with `state` of the caller.
   * @throws TailraceError `invalid_request` for a worker that has ended, `job_not_found`, `job_ended`, `limit_exceeded`,
   *   `log_unavailable`.
   */
  async append(batch: PreparedBatch, state?: ReadonlyMap<string, StatePut>): Promise<AppendResult> {
    // Up to the call of `append` nothing waits: a job that is open here has its end after this batch.
    if (batch.source !== "runtime") this.#admitJobs(batch.events);
    this.#requireOpen(batch.events);
    const created = this.#newWorkers(batch.events);
    if (created.length === 0 && batch.facts.length === 0) {
      // Most batches say nothing of their workers.
      return await this.#log.append(state === undefined ? { events: batch.events } : { events: batch.events, state });
    }
    const events = created.length === 0 ? batch.events : withCreations(batch.events, created);
    const said = this.#accept(batch, created);
    const puts = new Map(state);
    for (const [workerId, { facts }] of said) puts.set(factsKey(workerId), encodeFacts(workerId, facts));
    try {
      return await this.#log.append({ events, state: puts });
    } finally {
      for (const [workerId, accepted] of said) {
        if (--accepted.inFlight === 0 && this.#accepted.get(workerId) === accepted) this.#accepted.delete(workerId);
      }
    }
  }

  /** Whether a worker takes no more events. */
  hasEnded(workerId: string): boolean {
    return workerId !== "" && this.#facts(workerId).ended !== undefined;
  }

  #admitJobs(events: readonly PendingEvent[]): void {
    let last = "";
    for (const { jobId } of events) {
      // Most batches are of one job, or of none.
      if (jobId === last) continue;
      last = jobId;
      if (jobId !== "") this.#admitJob(jobId);
    }
  }

  #facts(workerId: string): WorkerFacts {
    return this.#accepted.get(workerId)?.facts ?? this.#projection.facts(workerId);
  }

  #requireOpen(events: readonly PendingEvent[]): void {
    let ending: Set<string> | undefined;
    let open = "";
    for (let index = 0; index < events.length; index++) {
      const { workerId, kind } = events[index] as PendingEvent;
      if (workerId === "") continue;
      // Most batches are of one worker.
      if (workerId !== open) {
        if (ending?.has(workerId) || this.#facts(workerId).ended !== undefined) {
          throw invalidRequest(
            `events[${index}].worker_id`,
            `worker "${workerId}" has ended and takes no more events; use another id`,
          );
        }
        open = workerId;
      }
      if (kind === EventKind.WORKER_ENDED || kind === EventKind.WORKER_REMOVED) {
        ending ??= new Set();
        ending.add(workerId);
        open = "";
      }
    }
  }

  #newWorkers(events: readonly PendingEvent[]): readonly string[] {
    let created: Set<string> | undefined;
    let last = "";
    for (const { workerId, kind } of events) {
      // Most batches are of one worker.
      if (workerId === last || workerId === "") continue;
      last = workerId;
      if (kind === EventKind.WORKER_CREATED || this.#accepted.has(workerId)) continue;
      if (this.#log.worker(workerId) !== undefined) continue;
      created ??= new Set();
      created.add(workerId);
    }
    return created === undefined ? [] : [...created];
  }

  #accept(batch: PreparedBatch, created: readonly string[]): Map<string, Accepted> {
    const said = new Map<string, Accepted>();
    const take = (workerId: string): Accepted => {
      let accepted = said.get(workerId);
      if (accepted === undefined) {
        accepted = this.#accepted.get(workerId) ?? { facts: this.#projection.facts(workerId), inFlight: 0 };
        accepted.inFlight++;
        this.#accepted.set(workerId, accepted);
        said.set(workerId, accepted);
      }
      return accepted;
    };
    for (const workerId of created) take(workerId);
    for (const { workerId, payload } of batch.facts) {
      const accepted = take(workerId);
      accepted.facts = foldWorker(accepted.facts, payload);
    }
    return said;
  }
}

function requireSayable(kind: number, source: EventSource, index: number): void {
  if (source === "runtime" || !runtimeOnlyKinds.has(kind)) return;
  if (source === "process" && kind !== EventKind.JOB_STATE_CHANGED) return;
  const description = "only the runtime itself says this; a worker may report worker_status or worker_ended";
  throw invalidRequest(`events[${index}].${kindName(kind) ?? kind}`, description);
}

/** Puts `worker_created` in front of the first event of each new worker. */
function withCreations(events: readonly PendingEvent[], created: readonly string[]): PendingEvent[] {
  const missing = new Set(created);
  const all: PendingEvent[] = [];
  for (const event of events) {
    if (missing.delete(event.workerId)) {
      const { workerId } = event;
      all.push(pendingEvent(create(NewEventSchema, { workerId, payload: { case: "workerCreated", value: {} } })));
    }
    all.push(event);
  }
  return all;
}

/** An event of a request, whose edge would have said the same of it as of the rest of its body. */
export function decodeNewEvent(bytes: Uint8Array, index: number): NewEvent {
  try {
    return fromBinary(NewEventSchema, bytes, { recursionLimit: maxDepth });
  } catch (error) {
    const description = error instanceof Error ? error.message : String(error);
    throw invalidRequest("body", `it is no ${PublishEventsRequestSchema.typeName}: events[${index}]: ${description}`);
  }
}

/** Output that is too large for one event becomes several, with their offsets. */
function splitOutput(event: NewEvent): readonly NewEvent[] {
  const { payload } = event;
  if (payload.case !== "output" || payload.value.data.length <= limits.maxEventBytes / 2) return [event];
  const { data, offset } = payload.value;
  const parts: NewEvent[] = [];
  for (let from = 0; from < data.length; from += limits.maxOutputChunkBytes) {
    const value = {
      ...payload.value,
      data: data.subarray(from, from + limits.maxOutputChunkBytes),
      offset: offset + BigInt(from),
    };
    parts.push({ ...event, payload: { case: "output", value } });
  }
  return parts;
}
