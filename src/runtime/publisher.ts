import { create } from "@bufbuild/protobuf";
import { EventKind, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { hasReason, invalidRequest } from "../base/errors.ts";
import { pendingEvent } from "../events/stored.ts";
import { foldWorker, type WorkerFacts } from "../events/worker-facts.ts";
import type { AppendBatch, AppendResult, EventLog, PendingEvent, StatePut } from "../log/contract.ts";
import { AppendOrder, everything } from "./append-order.ts";
import { appendDecided, caughtUp } from "./decided.ts";
import { recordKey } from "./jobs/record.ts";
import type { PreparedBatch } from "./prepared-batch.ts";
import { encodeFacts, endKey, factsKey, type WorkerProjection } from "./worker-projection.ts";

/** What to append, decided from the state of the log as it is. */
export interface Decision {
  readonly batch: PreparedBatch;
  /** State of the caller, which goes with it. */
  readonly state?: ReadonlyMap<string, StatePut>;
  /** Keys of the state that the decision depends on, beyond those of the batch's workers and jobs. */
  readonly fence?: readonly string[];
  /** Called right before the batch is handed to a log that is shared. */
  readonly onSend?: () => void;
}

/**
 * Whether a job takes events. `again`: the events were admitted before, so an end that was not handed to the log yet goes
 * behind them, and does not refuse them. @throws TailraceError `job_not_found`, `job_ended`.
 */
export type AdmitJob = (jobId: string, again: boolean) => void;

/** What is known of a worker once everything that is on its way is committed. */
interface Accepted {
  facts: WorkerFacts;
  /** Batches on their way that say something of the worker. */
  inFlight: number;
}

const nothingSaid: ReadonlyMap<string, Accepted> = new Map();

/** A batch as it is appended, and what it says of workers. */
interface Planned {
  readonly said: ReadonlyMap<string, Accepted>;
  readonly batch: { readonly events: readonly PendingEvent[]; readonly state?: ReadonlyMap<string, StatePut> };
}

/** Why a batch is refused that may be in order once this server knows what another one has committed before. */
const staleReasons = ["producer_conflict", "producer_unknown", "job_not_found"] as const;

/** What an event takes while it waits, apart from its bytes. */
const eventOverheadBytes = 64;

/**
 * Checks events and appends them. A worker is created by its first event, in the same batch; what an event says of its
 * worker is put into the log's state with it; a worker that has ended takes no more.
 *
 * On a log that others append to as well, a batch depends on its workers not having ended and on the records of its jobs:
 * where another server was first with one of those, everything is decided again from what that server put.
 */
export class EventPublisher {
  readonly #log: EventLog;
  readonly #projection: WorkerProjection;
  readonly #admitJob: AdmitJob;
  readonly #accepted = new Map<string, Accepted>();
  readonly #order = new AppendOrder();

  constructor(log: EventLog, projection: WorkerProjection, admitJob: AdmitJob) {
    this.#log = log;
    this.#projection = projection;
    this.#admitJob = admitJob;
  }

  /** Appends a batch. @throws as `appendDecided`. */
  append(batch: PreparedBatch): Promise<AppendResult> {
    return this.appendDecided(() => ({ batch }));
  }

  /**
   * Appends what `decide` gives, which is called again where another server was first, and where it had to wait for what
   * was appended before. Undefined: it gave nothing.
   * @throws TailraceError what `decide` throws, `invalid_request` for a worker that has ended, `job_not_found`, `job_ended`,
   *   `limit_exceeded`, `log_unavailable`.
   */
  async appendDecided(decide: () => Decision): Promise<AppendResult>;
  async appendDecided(decide: () => Decision | undefined): Promise<AppendResult | undefined>;
  async appendDecided(decide: () => Decision | undefined): Promise<AppendResult | undefined> {
    if (!this.#log.isShared) {
      const decision = decide();
      return decision === undefined ? undefined : this.#appendAlone(decision);
    }
    let decided: Decision | undefined;
    try {
      return await this.#appendInOrder(() => {
        decided = decide();
        return decided;
      });
    } catch (error) {
      if (!staleReasons.some((reason) => hasReason(error, reason))) throw error;
      const over = this.#order.waits(memoryOf(decided?.batch.events ?? []));
      await caughtUp(this.#log).finally(over);
      return this.#appendInOrder(decide);
    }
  }

  /** Appends to a log that nobody else appends to: nothing waits, and nothing is decided again. */
  async #appendAlone(decision: Decision): Promise<AppendResult> {
    const { said, batch } = this.#plan(decision, false);
    if (said === nothingSaid) return await this.#log.append(batch);
    try {
      return await this.#log.append(batch);
    } finally {
      this.#release(said);
    }
  }

  async #appendInOrder(decide: () => Decision | undefined): Promise<AppendResult | undefined> {
    const first = decide();
    if (first === undefined) return undefined;
    const { events } = first.batch;
    // By these batches are kept in order.
    const place = this.#order.enter(keysOf(events, factsKey), memoryOf(events));
    let said = nothingSaid;
    let again = false;
    const decideAgain = () => {
      this.#release(said);
      said = nothingSaid;
      const decision = again ? decide() : first;
      if (decision === undefined) return undefined;
      const planned = this.#plan(decision, again);
      again = true;
      said = planned.said;
      // What is said of a worker bars its jobs as well: their ends are not to come before it.
      place.sent(said.size > 0 ? everything : (planned.batch.state ?? nothingSaid));
      decision.onSend?.();
      return fenced(planned, decision.fence);
    };
    try {
      if (place.ready !== undefined) {
        this.#check(first.batch, false);
        await place.ready;
        again = true;
      }
      return await appendDecided(this.#log, decideAgain);
    } finally {
      this.#release(said);
      place.leave();
    }
  }

  /** Checks a batch, and makes what is appended of it. Up to the call of `EventLog.append` nothing may wait. */
  #plan({ batch, state: given }: Decision, again: boolean): Planned {
    this.#check(batch, again);
    const created = this.#newWorkers(batch.events);
    if (created.length === 0 && batch.facts.length === 0) {
      // Most batches say nothing of their workers.
      return { said: nothingSaid, batch: { events: batch.events, ...(given === undefined ? {} : { state: given }) } };
    }
    const events = created.length === 0 ? batch.events : withCreations(batch.events, created);
    const said = this.#accept(batch, created);
    const state = new Map(given);
    for (const [workerId, { facts }] of said) state.set(factsKey(workerId), encodeFacts(workerId, facts));
    return { said, batch: { events, state } };
  }

  #check({ events, source }: PreparedBatch, again: boolean): void {
    if (source !== "runtime") this.#admitJobs(events, again);
    this.#requireOpen(events);
  }

  #release(said: ReadonlyMap<string, Accepted>): void {
    for (const [workerId, accepted] of said) {
      if (--accepted.inFlight === 0 && this.#accepted.get(workerId) === accepted) this.#accepted.delete(workerId);
    }
  }

  /** Whether a worker takes no more events. */
  hasEnded(workerId: string): boolean {
    if (workerId === "") return false;
    // What is on its way may be refused because another server ended the worker, and hides that here until then.
    return (this.#accepted.get(workerId)?.facts.ended ?? this.#projection.facts(workerId).ended) !== undefined;
  }

  #admitJobs(events: readonly PendingEvent[], again: boolean): void {
    let last = "";
    for (const { jobId } of events) {
      // Most batches are of one job, or of none.
      if (jobId === last) continue;
      last = jobId;
      if (jobId !== "") this.#admitJob(jobId, again);
    }
  }

  #requireOpen(events: readonly PendingEvent[]): void {
    let ending: Set<string> | undefined;
    let open = "";
    for (let index = 0; index < events.length; index++) {
      const { workerId, kind } = events[index] as PendingEvent;
      if (workerId === "") continue;
      // Most batches are of one worker.
      if (workerId !== open) {
        if (ending?.has(workerId) || this.hasEnded(workerId)) {
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

/** A key for each worker of events, which `ofWorker` gives, and for each job that of its record. */
function keysOf(events: readonly PendingEvent[], ofWorker: (workerId: string) => string): Set<string> {
  const keys = new Set<string>();
  let lastWorker = "";
  let lastJob = "";
  for (const { workerId, jobId } of events) {
    // Most batches are of one worker, and of one job or none.
    if (workerId !== "" && workerId !== lastWorker) keys.add(ofWorker(workerId));
    if (jobId !== "" && jobId !== lastJob) keys.add(recordKey(jobId));
    lastWorker = workerId;
    lastJob = jobId;
  }
  return keys;
}

/** Bytes that events hold in memory while they wait. */
export function memoryOf(events: readonly PendingEvent[]): number {
  return events.reduce((sum, { body }) => sum + body.length + eventOverheadBytes, 0);
}

/**
 * What a batch depends on, on a log that others append to as well. That a worker has ended has a key of its own, which is
 * put and never has a value: what another server says of the state of a worker is no reason to decide again about its output.
 */
function fenced({ said, batch }: Planned, more: readonly string[] = []): AppendBatch {
  const { events } = batch;
  const fence = keysOf(events, endKey);
  for (const key of more) fence.add(key);
  // Most batches put nothing.
  if (said.size === 0 && batch.state === undefined) return { events, fence: [...fence] };
  const state = new Map(batch.state);
  for (const [workerId, { facts }] of said) if (facts.ended !== undefined) state.set(endKey(workerId), null);
  for (const key of state.keys()) fence.delete(key);
  return { events, state, fence: [...fence] };
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
