import { limits } from "../../base/limits.ts";
import { origin } from "../../events/cursor.ts";
import type { AppendResult } from "../contract.ts";
import type { LogIndex } from "../index/log-index.ts";
import { type EventArrays, newEventArrays, type Placement, type StagedGroup } from "../index/staged.ts";
import type { WorkerEntry } from "../index/worker.ts";
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
 * @param place says where the group's bytes will lie, given its number of events and their bytes.
 * @param trimsAll every worker may be beyond its limits, not only those that grow.
 */
export function stageGroup(
  index: LogIndex,
  appends: readonly PendingAppend[],
  firstSequence: number,
  nowMs: number,
  place: (events: number, storedBytes: number) => Placement,
  trimsAll: boolean,
): PreparedGroup {
  const timeMs = Math.max(index.head.timeMs, Math.floor(nowMs));
  const timePrefix = encodeTime(timeMs);
  const grown = new Set<WorkerEntry>();
  const created: WorkerEntry[] = [];
  try {
    const { events, storedBytes } = numberEvents(
      index,
      appends,
      firstSequence,
      timeMs,
      timePrefix.length,
      grown,
      created,
    );
    const results = resultsOf(index, appends, events);
    const state = new Map<string, Uint8Array | null>();
    for (const [i, { batch }] of appends.entries()) {
      for (const [key, put] of batch.state ?? []) {
        state.set(key, typeof put === "function" ? put(results[i] as AppendResult) : put);
      }
    }
    const placement = place(events.length, storedBytes);
    index.stage(events, placement, grown);
    const forgotten = workersToForget(index, appends);
    const raises = index.retention.plan(trimsAll ? existing(index) : grown, Math.max(timeMs, nowMs));
    return {
      events,
      timeMs,
      grown,
      created,
      raises,
      forgotten,
      state,
      appends,
      results,
      timePrefix,
      storedBytes,
      placement,
    };
  } catch (error) {
    index.rollBack({ grown, created, raises: [] });
    throw error;
  }
}

function numberEvents(
  index: LogIndex,
  appends: readonly PendingAppend[],
  firstSequence: number,
  timeMs: number,
  prefixBytes: number,
  grown: Set<WorkerEntry>,
  created: WorkerEntry[],
): { events: EventArrays; storedBytes: number } {
  let count = 0;
  for (const append of appends) count += append.batch.events.length;
  const events = newEventArrays(count);
  let storedBytes = 0;
  let at = 0;
  let lastId: string | undefined;
  let entry: WorkerEntry | undefined;
  for (const { batch } of appends) {
    for (const event of batch.events) {
      // Events mostly come in runs of one worker.
      if (entry === undefined || event.workerId !== lastId) {
        lastId = event.workerId;
        entry = index.entryToGrow(lastId);
        if (!grown.has(entry)) {
          grown.add(entry);
          if (!entry.exists && entry.number !== 0) created.push(entry);
        }
      }
      const size = prefixBytes + event.body.length;
      events.sequences[at] = firstSequence + at;
      events.ordinals[at] = index.head.ordinal + 1 + at;
      events.workers[at] = entry.number;
      events.workerOrdinals[at] = entry.number === 0 ? 0 : ++entry.plannedLastOrdinal;
      events.kinds[at] = event.kind;
      events.times[at] = timeMs;
      events.sizes[at] = size;
      storedBytes += size;
      at++;
    }
  }
  return { events, storedBytes };
}

function resultsOf(index: LogIndex, appends: readonly PendingAppend[], events: EventArrays): AppendResult[] {
  const results: AppendResult[] = [];
  let at = 0;
  for (const { batch } of appends) {
    const count = batch.events.length;
    at += count;
    const last = at - 1;
    if (count === 0) {
      const sequence = at > 0 ? (events.sequences[last] as number) : index.head.sequence;
      results.push({ firstSequence: sequence, last: { ...origin, sequence, ordinal: index.head.ordinal + at } });
      continue;
    }
    results.push({
      firstSequence: events.sequences[at - count] as number,
      last: {
        ...origin,
        sequence: events.sequences[last] as number,
        ordinal: events.ordinals[last] as number,
        workerHash: index.subjects.hashOf(events.workers[last] as number),
        workerOrdinal: events.workerOrdinals[last] as number,
      },
    });
  }
  return results;
}

function existing(index: LogIndex): WorkerEntry[] {
  return index.entries.filter((entry) => entry !== undefined);
}

function workersToForget(index: LogIndex, appends: readonly PendingAppend[]): WorkerEntry[] {
  const forgotten = new Set<WorkerEntry>();
  for (const { batch } of appends) {
    for (const workerId of batch.forgetWorkers ?? []) {
      const known = index.entryOf(workerId);
      if (known === undefined || known.number === 0) continue;
      if (known.retainedEvents === 0 && known.plannedEvents === 0) forgotten.add(known);
    }
  }
  return [...forgotten];
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
  const starts = new Uint32Array(length);
  const ends = new Uint32Array(length);
  let at = offset;
  for (let i = 0; i < length; i++) {
    starts[i] = at;
    at += sizes[i] as number;
    ends[i] = at;
  }
  return { starts, ends };
}

/** Bytes of one commit, at the most, unless a single batch is larger: more would keep the first ones waiting. */
export const maxGroupBytes = Math.min(8 * 1024 * 1024, limits.maxPendingAppendBytes);
