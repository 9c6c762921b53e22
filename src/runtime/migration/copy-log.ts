import { type Clock, type StopTimer, systemClock } from "../../base/clock.ts";
import { invalidRequest } from "../../base/errors.ts";
import { origin } from "../../events/cursor.ts";
import type { EventBlock } from "../../log/block.ts";
import type { EventLog, PendingEvent } from "../../log/contract.ts";
import { retainedEvents } from "./retained-events.ts";
import { isCopied, movedState, namedSequences } from "./state.ts";
import { beginCopy, endCopy, requireWhole } from "./unfinished.ts";

/** Events and bytes of one batch that is copied, and bytes of state that are put at once. */
const batchEvents = 256;
const batchBytes = 256 * 1024;
/** First byte of a stored event: field `time`, which the log that it is copied to writes anew. */
const timeTag = (4 << 3) | 2;

/** Says when the events are accepted that are being copied: when they were. For the log that they are copied to. */
export class CopyClock implements Clock {
  timeMs = 0;

  now(): number {
    return this.timeMs === 0 ? systemClock.now() : this.timeMs;
  }

  monotonic(): number {
    return systemClock.monotonic();
  }

  after(ms: number, callback: () => void): StopTimer {
    return systemClock.after(ms, callback);
  }
}

export interface CopyOptions {
  readonly source: EventLog;
  /** Empty, and opened with `clock` as its clock and without limits of retention. */
  readonly target: EventLog;
  readonly clock: CopyClock;
  /** What has to be deleted if the target does not become whole, for a sentence. Default: "it". */
  readonly place?: string;
  /** Gives up when it aborts. */
  readonly signal?: AbortSignal;
  /** Hears of events that were copied, now and then. */
  readonly onProgress?: (copied: number) => void;
}

/**
 * Copies what a log retains, events in their order with their times, and its state, to an empty log, in bounded memory.
 * Sequences and ordinals are those of the new log, and what the state says of them as well. What is remembered of workers
 * and jobs of which nothing is retained does not go along, save the records of jobs, which are nobody's in the new log. Nobody
 * else may use either log (`requireUnserved`). The target says of itself until the end that it is not whole.
 *
 * @throws TailraceError `invalid_request` if the target is not empty, or one of them was written to meanwhile,
 *   `log_open_failed` if one of them is a copy that is not whole, and what the logs throw.
 */
export async function copyLog(options: CopyOptions): Promise<{ readonly events: number }> {
  const { source, target, clock } = options;
  requireWhole(source);
  requireWhole(target);
  requireEmpty(target);
  await beginCopy(target, options.place ?? "it");
  const moved = namedSequences(source);
  const end = source.bounds({ kind: "runtime" }).head.sequence;
  let events = 0;
  let newest: { sequence: number; ordinal: number } = origin;
  for await (const { timeMs, sequences, pending } of batches(source, end, (sequence) => moved.endsBatch(sequence))) {
    options.signal?.throwIfAborted();
    clock.timeMs = timeMs;
    const result = await target.append({ events: pending });
    const first = result.last.ordinal - pending.length + 1;
    if (result.last.sequence !== result.firstSequence + pending.length - 1) {
      throw new Error("the events of one batch have sequences that do not follow each other");
    }
    for (const [i, sequence] of sequences.entries()) {
      moved.next(sequence, newest.sequence, newest.ordinal);
      newest = { sequence: result.firstSequence + i, ordinal: first + i };
    }
    moved.batch(sequences.at(-1) as number, result.last);
    events += pending.length;
    options.onProgress?.(events);
  }
  moved.end();
  for (const state of stateBatches(source, (key, value) => movedState(key, value, moved))) {
    options.signal?.throwIfAborted();
    await target.append({ events: [], state });
  }
  if (source.bounds({ kind: "runtime" }).head.sequence !== end) {
    throw invalidRequest(
      "from",
      "was written to while it was copied. Stop every server of it, and begin again with an empty target",
    );
  }
  if (target.bounds({ kind: "runtime" }).head.ordinal !== events) {
    throw invalidRequest(
      "to",
      "was written to while it was copied to. Delete it, and let nobody use it before it is whole",
    );
  }
  await endCopy(target);
  return { events };
}

function requireEmpty(target: EventLog): void {
  const [state] = target.stateEntries("");
  if (target.bounds({ kind: "runtime" }).head.ordinal === 0 && state === undefined) return;
  throw invalidRequest("to", "is not empty. Copy to a log that has never been used");
}

interface Batch {
  /** When all of its events were accepted. */
  readonly timeMs: number;
  /** Sequences in the source. */
  readonly sequences: readonly number[];
  readonly pending: readonly PendingEvent[];
}

/** Everything that is retained, in batches of one time each. */
async function* batches(
  source: EventLog,
  end: number,
  endsBatch: (sequence: number) => boolean,
): AsyncGenerator<Batch> {
  let sequences: number[] = [];
  let pending: PendingEvent[] = [];
  let bytes = 0;
  let timeMs = 0;
  const batch = (): Batch => {
    const made = { timeMs, sequences, pending };
    [sequences, pending, bytes] = [[], [], 0];
    return made;
  };
  for await (const { block, from, to } of retainedEvents(source, end)) {
    for (let i = from; i < to; i++) {
      const sequence = block.sequences[i] as number;
      if (pending.length > 0 && block.times[i] !== timeMs) yield batch();
      timeMs = block.times[i] as number;
      const event = pendingOf(block, i);
      sequences.push(sequence);
      pending.push(event);
      bytes += event.body.length;
      if (pending.length === batchEvents || bytes >= batchBytes || endsBatch(sequence)) yield batch();
    }
  }
  if (pending.length > 0) yield batch();
}

function pendingOf(block: EventBlock, i: number): PendingEvent {
  let start = block.starts[i] as number;
  if (block.bytes[start] === timeTag) start += 2 + (block.bytes[start + 1] as number);
  return {
    workerId: block.subjects.idOf(block.workers[i] as number),
    jobId: block.jobSubjects.idOf(block.jobs[i] as number),
    kind: block.kinds[i] as number,
    body: block.bytes.subarray(start, block.ends[i] as number),
  };
}

function* stateBatches(
  source: EventLog,
  move: (key: string, value: Uint8Array) => Uint8Array,
): Generator<ReadonlyMap<string, Uint8Array>> {
  let state = new Map<string, Uint8Array>();
  let bytes = 0;
  for (const [key, value] of source.stateEntries("")) {
    if (!isCopied(source, key)) continue;
    const moved = move(key, value);
    state.set(key, moved);
    bytes += moved.length;
    if (bytes < batchBytes) continue;
    yield state;
    [state, bytes] = [new Map(), 0];
  }
  if (state.size > 0) yield state;
}
