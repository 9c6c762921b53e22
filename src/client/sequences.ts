import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import type { EventBatch } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { decodeCursor } from "../events/cursor.ts";

/**
 * Lets every event through once. A server does not repeat events, but a relay that changes its upstream may, and whoever
 * counts on "once" should not have to trust what is in between. Sequences grow strictly within a generation of a runtime's
 * log, so the last one per runtime is all there is to remember.
 */
export class SequenceFilter {
  /** Of each runtime; a watch through a relay has at most 64 of them. */
  readonly #last = new Map<string, { generation: bigint; sequence: bigint }>();

  /** The events of the batch that were not there before: usually the batch's own array. */
  fresh(batch: EventBatch): readonly Event[] {
    const { events } = batch;
    const newest = events[events.length - 1];
    if (newest === undefined) return events;
    const generation = generationOf(newest.cursor);
    const last = this.#last.get(batch.runtimeId);
    if (last === undefined || last.generation !== generation) {
      this.#last.set(batch.runtimeId, { generation, sequence: newest.sequence });
      return events;
    }
    const seen = last.sequence;
    if (newest.sequence > seen) last.sequence = newest.sequence;
    // Within a batch sequences grow, so the first one tells for all.
    return (events[0] as Event).sequence > seen ? events : events.filter((event) => event.sequence > seen);
  }

  /** What comes from here on is of another history. */
  forget(): void {
    this.#last.clear();
  }
}

/** A cursor of a later format names no generation that this release can read: then its log is taken as one. */
function generationOf(cursor: string): bigint {
  try {
    return decodeCursor(cursor).generation;
  } catch {
    return 0n;
  }
}

/** Checks that the numbers of every worker have no hole. */
export class SequenceCheck {
  readonly #last = new Map<string, bigint>();

  /** Calls back for every hole. A worker that was forgotten and came back begins again at 1. */
  check(events: readonly Event[], onHole: (workerId: string, expected: bigint, received: bigint) => void): void {
    for (const { workerId, workerSequence } of events) {
      if (workerSequence === 0n) continue;
      const last = this.#last.get(workerId);
      if (last !== undefined && workerSequence !== last + 1n && workerSequence !== 1n) {
        onHole(workerId, last + 1n, workerSequence);
      }
      this.#last.set(workerId, workerSequence);
    }
  }

  /** Forgets all workers, after a gap that was announced. */
  reset(): void {
    this.#last.clear();
  }
}
