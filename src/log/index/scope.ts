import { hashId, origin, type Position } from "../../events/cursor.ts";
import type { Scope, ScopeBounds } from "../contract.ts";
import type { Chunk } from "./chunk.ts";
import type { LogIndex } from "./log-index.ts";
import type { Floor, WorkerEntry } from "./worker.ts";

/** A scope with its workers looked up. */
export interface ResolvedScope {
  /** Undefined: the runtime. Else those of the workers that exist. */
  readonly entries: readonly WorkerEntry[] | undefined;
  /** Hash of the only worker named, whose events are counted; 0: only those of the runtime are. */
  readonly workerHash: number;
  readonly floor: Floor;
}

export function resolveScope(index: LogIndex, scope: Scope): ResolvedScope {
  if (scope.kind !== "workers") return { entries: undefined, workerHash: 0, floor: index.floor };
  const entries: WorkerEntry[] = [];
  let floor: Floor | undefined;
  for (const workerId of new Set(scope.workerIds)) {
    const entry = index.entryOf(workerId);
    if (entry !== undefined) entries.push(entry);
    const own = entry?.floor ?? index.forgottenFloor;
    if (floor === undefined || own.sequence > floor.sequence) floor = own;
  }
  const single = new Set(scope.workerIds).size === 1;
  return {
    entries,
    workerHash: single ? hashId(scope.workerIds[0] as string) : 0,
    floor: floor ?? index.floor,
  };
}

export function boundsOf(index: LogIndex, scope: Scope): ScopeBounds {
  const resolved = resolveScope(index, scope);
  return { floor: floorPosition(resolved), head: positionAt(index, resolved, index.head.sequence) };
}

export function floorPosition(scope: ResolvedScope): Position {
  return {
    ...origin,
    sequence: scope.floor.sequence,
    ordinal: scope.floor.ordinal,
    workerHash: scope.workerHash,
    workerOrdinal: scope.workerHash === 0 ? 0 : scope.floor.workerOrdinal,
  };
}

/** The position at `sequence`, which lies between the floor of the scope and the head. */
export function positionAt(index: LogIndex, scope: ResolvedScope, sequence: number): Position {
  if (sequence <= scope.floor.sequence) return floorPosition(scope);
  const only = scope.workerHash === 0 ? undefined : scope.entries?.[0];
  return {
    ...origin,
    sequence,
    ordinal: ordinalAt(index, sequence),
    workerHash: scope.workerHash,
    // The retained events of a worker are its newest, without holes.
    workerOrdinal: only === undefined ? 0 : workerOrdinalAt(only, sequence),
  };
}

/** The position just before the event in `row`. */
export function positionBefore(scope: ResolvedScope, chunk: Chunk, row: number): Position {
  return {
    ...origin,
    sequence: (chunk.sequences[row] as number) - 1,
    ordinal: (chunk.ordinals[row] as number) - 1,
    workerHash: scope.workerHash,
    workerOrdinal: scope.workerHash === 0 ? 0 : (chunk.workerOrdinals[row] as number) - 1,
  };
}

function workerOrdinalAt(entry: WorkerEntry, sequence: number): number {
  return entry.floor.workerOrdinal + Math.min(entry.retainedEvents, entry.queue.indexAfter(sequence));
}

/** How many events the runtime had had at `sequence`. */
function ordinalAt(index: LogIndex, sequence: number): number {
  const { head, floor } = index;
  if (sequence >= head.sequence) return head.ordinal;
  const { chunks } = index.columns;
  const number = index.columns.chunkAfter(sequence);
  const after = chunks[number];
  if (after === undefined) return head.ordinal;
  const row = after.rowAfter(sequence);
  const atMost = (after.ordinals[row] as number) - 1;
  // Above the floor of the runtime nothing is missing. Below it sequences and ordinals still go in step, but for what an
  // unclean end skipped.
  if (sequence >= floor.sequence) return atMost;
  const before = row > 0 ? after : chunks[number - 1];
  if (before === undefined) return Math.min(sequence, atMost);
  const beforeRow = row > 0 ? row - 1 : before.length - 1;
  return Math.min((before.ordinals[beforeRow] as number) + sequence - (before.sequences[beforeRow] as number), atMost);
}
