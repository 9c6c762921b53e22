import { limits } from "../../base/limits.ts";
import { origin } from "../../events/cursor.ts";
import type { AppendResult } from "../contract.ts";
import type { LogIndex } from "../index/log-index.ts";
import type { ScopeEntry } from "../index/scope-entry.ts";
import {
  type EventArrays,
  newEventArrays,
  type Placement,
  type StagedGroup,
  setJob,
  shortLength,
} from "../index/staged.ts";
import { valueToPut } from "../state-put.ts";
import type { PendingAppend } from "./pending.ts";
import { encodeTime } from "./time.ts";

/** A group with what it takes to write its bytes. */
export interface PreparedGroup extends StagedGroup {
  readonly appends: readonly PendingAppend[];
  /** Where each of the appends went. */
  readonly results: readonly AppendResult[];
  /** Field `time` of all its events, which goes before each body. */
  readonly timePrefix: Uint8Array;
  /** Stored bytes of all its events. */
  readonly storedBytes: number;
  readonly placement: Placement;
}

/**
 * Gives the events of a group their numbers, puts them into the index where no reader sees them yet, and decides what
 * retention removes because of them, so that all of that can be written as one.
 *
 * @param place says where the group's bytes will lie, given its events and the sum of their bytes.
 * @param trimsAll every worker and job may be beyond its limits, not only those that grow.
 */
export function stageGroup(
  index: LogIndex,
  appends: readonly PendingAppend[],
  firstSequence: number,
  nowMs: number,
  place: (events: EventArrays, storedBytes: number) => Placement,
  trimsAll: boolean,
): PreparedGroup {
  const timeMs = Math.max(index.head.timeMs, Math.floor(nowMs));
  const timePrefix = encodeTime(timeMs);
  const grown = new Set<ScopeEntry>();
  const created: ScopeEntry[] = [];
  const forgottenJobs: ScopeEntry[] = [];
  const heirs = new Set<ScopeEntry>();
  try {
    const numbering = new Numbering(index, firstSequence, timeMs, timePrefix.length, grown, created, forgottenJobs);
    const { events, storedBytes } = numbering.number(appends);
    const results = resultsOf(index, appends, events, timeMs);
    const state = stateOf(appends, results);
    const placement = place(events, storedBytes);
    index.stage(events, placement, grown);
    for (const job of forgottenJobs) index.retention.handOver(job, heirs);
    for (const worker of heirs) index.retention.rank(worker);
    const forgottenWorkers = workersToForget(index, appends);
    const nowHoldMore = trimsAll ? existing(index) : heirs.size === 0 ? grown : [...grown, ...heirs];
    const raises = index.retention.plan(nowHoldMore, Math.max(timeMs, nowMs));
    return {
      events,
      timeMs,
      grown,
      created,
      forgottenJobs,
      heirs,
      raises,
      forgottenWorkers,
      state,
      appends,
      results,
      timePrefix,
      storedBytes,
      placement,
    };
  } catch (error) {
    index.rollBack({ grown, created, forgottenJobs, heirs, raises: [] });
    throw error;
  }
}

/** Numbers the events of a group, in the order of its appends, which decides also which job an id means. */
class Numbering {
  readonly #index: LogIndex;
  readonly #firstSequence: number;
  readonly #timeMs: number;
  readonly #prefixBytes: number;
  readonly #grown: Set<ScopeEntry>;
  readonly #created: ScopeEntry[];
  readonly #forgottenJobs: ScopeEntry[];

  constructor(
    index: LogIndex,
    firstSequence: number,
    timeMs: number,
    prefixBytes: number,
    grown: Set<ScopeEntry>,
    created: ScopeEntry[],
    forgottenJobs: ScopeEntry[],
  ) {
    this.#index = index;
    this.#firstSequence = firstSequence;
    this.#timeMs = timeMs;
    this.#prefixBytes = prefixBytes;
    this.#grown = grown;
    this.#created = created;
    this.#forgottenJobs = forgottenJobs;
  }

  number(appends: readonly PendingAppend[]): { events: EventArrays; storedBytes: number } {
    let count = 0;
    for (const append of appends) count += append.batch.events.length;
    const events = newEventArrays(count);
    const headOrdinal = this.#index.head.ordinal;
    let storedBytes = 0;
    let at = 0;
    let worker: ScopeEntry | undefined;
    let job: ScopeEntry | undefined;
    for (const { batch } of appends) {
      for (const event of batch.events) {
        const sequence = this.#firstSequence + at;
        // Events mostly come in runs of one worker, and of one job.
        if (worker === undefined || event.workerId !== worker.id) {
          worker = this.#index.workerToGrow(event.workerId);
          this.#grow(worker);
        }
        if (event.jobId !== "") {
          if (job === undefined || event.jobId !== job.id) {
            job = this.#index.jobToGrow(event.jobId, sequence);
            this.#grow(job);
          }
          setJob(events, at, job.number, ++job.plannedLastOrdinal);
        }
        const size = this.#prefixBytes + event.body.length;
        events.sequences[at] = sequence;
        events.ordinals[at] = headOrdinal + 1 + at;
        events.workers[at] = worker.number;
        events.workerOrdinals[at] = worker.number === 0 ? 0 : ++worker.plannedLastOrdinal;
        events.kinds[at] = event.kind;
        events.times[at] = this.#timeMs;
        events.sizes[at] = size;
        storedBytes += size;
        at++;
      }
      for (const jobId of batch.forgetJobs ?? []) {
        const forgotten = this.#index.jobs.toForget(jobId);
        if (forgotten !== undefined) this.#forgottenJobs.push(forgotten);
        // What comes under its id after this is another job.
        job = undefined;
      }
    }
    return { events, storedBytes };
  }

  #grow(entry: ScopeEntry): void {
    if (this.#grown.has(entry)) return;
    this.#grown.add(entry);
    if (!entry.exists && (entry.isJob || entry.number !== 0)) this.#created.push(entry);
  }
}

const noState: ReadonlyMap<string, Uint8Array | null> = new Map();

function stateOf(appends: readonly PendingAppend[], results: readonly AppendResult[]): typeof noState {
  let state: Map<string, Uint8Array | null> | undefined;
  for (let i = 0; i < appends.length; i++) {
    const puts = (appends[i] as PendingAppend).batch.state;
    // Most batches are events and nothing else.
    if (puts === undefined || puts.size === 0) continue;
    state ??= new Map();
    for (const [key, put] of puts) state.set(key, valueToPut(put, results[i] as AppendResult));
  }
  return state ?? noState;
}

function resultsOf(
  index: LogIndex,
  appends: readonly PendingAppend[],
  events: EventArrays,
  timeMs: number,
): AppendResult[] {
  const results: AppendResult[] = [];
  let at = 0;
  for (const { batch } of appends) {
    const count = batch.events.length;
    at += count;
    const last = at - 1;
    if (count === 0) {
      const sequence = at > 0 ? (events.sequences[last] as number) : index.head.sequence;
      const head = { ...origin, sequence, ordinal: index.head.ordinal + at };
      results.push({ firstSequence: sequence, last: head, timeMs });
      continue;
    }
    results.push({
      firstSequence: events.sequences[at - count] as number,
      last: {
        sequence: events.sequences[last] as number,
        ordinal: events.ordinals[last] as number,
        workerHash: index.subjects.hashOf(events.workers[last] as number),
        workerOrdinal: events.workerOrdinals[last] as number,
        jobHash: index.jobSubjects.hashOf(events.jobs?.[last] ?? 0),
        jobOrdinal: events.jobOrdinals?.[last] ?? 0,
      },
      timeMs,
    });
  }
  return results;
}

function existing(index: LogIndex): ScopeEntry[] {
  const { workers, jobs } = index;
  return [workers.none, ...workers.existing(), ...jobs.existing()];
}

/** Of the workers that are to be forgotten, those that no event names that is retained or being committed. */
function workersToForget(index: LogIndex, appends: readonly PendingAppend[]): ScopeEntry[] {
  let forgotten: Set<ScopeEntry> | undefined;
  for (const { batch } of appends) {
    if (batch.forgetWorkers === undefined) continue;
    for (const workerId of batch.forgetWorkers) {
      const known = index.workers.entryOf(workerId);
      if (known === undefined || known.isNamed || known.queue.length > 0) continue;
      forgotten ??= new Set();
      forgotten.add(known);
    }
  }
  return forgotten === undefined ? [] : [...forgotten];
}

/** Writes the stored bytes of a group's events to `target`, one after the other from `offset`. */
export function writeStoredBytes(group: PreparedGroup, target: Uint8Array, offset: number): void {
  const { timePrefix } = group;
  let at = offset;
  for (const { batch } of group.appends) {
    for (const { body } of batch.events) {
      target.set(timePrefix, at);
      at += timePrefix.length;
      target.set(body, at);
      at += body.length;
    }
  }
}

/** Where the stored bytes of a group's events begin and end, the first at `offset`. */
export function boundsOfStoredBytes(group: PreparedGroup, offset: number): { starts: Uint32Array; ends: Uint32Array } {
  const { length, sizes } = group.events;
  const { starts, ends } = newBounds(length);
  let at = offset;
  for (let i = 0; i < length; i++) {
    starts[i] = at;
    at += sizes[i] as number;
    ends[i] = at;
  }
  return { starts, ends };
}

function newBounds(length: number): { starts: Uint32Array; ends: Uint32Array } {
  if (length <= shortLength) return { starts: new Uint32Array(length), ends: new Uint32Array(length) };
  // Each event begins where the one before it ends, so both lie in the same memory.
  const memory = new ArrayBuffer(Uint32Array.BYTES_PER_ELEMENT * (length + 1));
  return {
    starts: new Uint32Array(memory, 0, length),
    ends: new Uint32Array(memory, Uint32Array.BYTES_PER_ELEMENT, length),
  };
}

/** Bytes of one commit, at the most, unless a single batch is larger: more would keep the first ones waiting. */
export const maxGroupBytes = Math.min(8 * 1024 * 1024, limits.maxPendingAppendBytes);
