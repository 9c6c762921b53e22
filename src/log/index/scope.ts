import { hashId, origin, type Position } from "../../events/cursor.ts";
import type { Scope, ScopeBounds } from "../contract.ts";
import type { Chunk } from "./chunk.ts";
import type { LogIndex } from "./log-index.ts";
import { type Floor, noFloor, type ScopeEntry } from "./scope-entry.ts";

/** A scope with its workers, or its job, looked up. */
export interface ResolvedScope {
  /** Undefined: the runtime. Else those that exist. */
  readonly entries: readonly ScopeEntry[] | undefined;
  /** Hash of the only worker named, whose events are counted; 0: they are not. */
  readonly workerHash: number;
  /** The same of the job. Without both, only events of the runtime are counted. */
  readonly jobHash: number;
  readonly floor: Floor;
}

export function resolveScope(index: LogIndex, scope: Scope): ResolvedScope {
  switch (scope.kind) {
    case "runtime":
      return { entries: undefined, workerHash: 0, jobHash: 0, floor: index.removal.floor };
    case "workers":
      return resolveWorkers(index, new Set(scope.workerIds));
    case "job": {
      const job = index.jobs.entryOf(scope.jobId);
      const jobHash = hashId(scope.jobId);
      if (job === undefined) return { entries: [], workerHash: 0, jobHash, floor: noFloor };
      return { entries: [job], workerHash: 0, jobHash, floor: job.floor };
    }
  }
}

function resolveWorkers(index: LogIndex, workerIds: ReadonlySet<string>): ResolvedScope {
  const entries: ScopeEntry[] = [];
  let floor: Floor | undefined;
  let workerHash = 0;
  for (const workerId of workerIds) {
    const entry = index.workers.entryOf(workerId);
    if (entry !== undefined) entries.push(entry);
    const own = entry?.floor ?? index.removal.forgottenFloor;
    if (floor === undefined || own.sequence > floor.sequence) floor = own;
    if (workerIds.size === 1) workerHash = hashId(workerId);
  }
  return { entries, workerHash, jobHash: 0, floor: floor ?? index.removal.floor };
}

export function boundsOf(index: LogIndex, scope: Scope): ScopeBounds {
  const resolved = resolveScope(index, scope);
  return { floor: floorPosition(resolved), head: positionAt(index, resolved, index.head.sequence) };
}

export function floorPosition(scope: ResolvedScope): Position {
  const { sequence, ordinal, scopeOrdinal } = scope.floor;
  return position(scope, sequence, ordinal, scopeOrdinal);
}

/** The position at `sequence`, which lies between the floor of the scope and the head. */
export function positionAt(index: LogIndex, scope: ResolvedScope, sequence: number): Position {
  if (sequence <= scope.floor.sequence) return floorPosition(scope);
  const only = scope.entries?.[0];
  return position(scope, sequence, ordinalAt(index, sequence), only === undefined ? 0 : scopeOrdinalAt(only, sequence));
}

/** The position just before the event in `row`. */
export function positionBefore(scope: ResolvedScope, chunk: Chunk, row: number): Position {
  const ordinals = scope.jobHash === 0 ? chunk.workerOrdinals : chunk.jobOrdinals;
  const sequence = (chunk.sequences[row] as number) - 1;
  return position(scope, sequence, (chunk.ordinals[row] as number) - 1, (ordinals?.[row] as number) - 1);
}

function position(scope: ResolvedScope, sequence: number, ordinal: number, scopeOrdinal: number): Position {
  const { workerHash, jobHash } = scope;
  return {
    ...origin,
    sequence,
    ordinal,
    workerHash,
    workerOrdinal: workerHash === 0 ? 0 : scopeOrdinal,
    jobHash,
    jobOrdinal: jobHash === 0 ? 0 : scopeOrdinal,
  };
}

/** The events in the scope of a worker or a job are its newest, without holes. */
function scopeOrdinalAt(entry: ScopeEntry, sequence: number): number {
  return entry.floor.scopeOrdinal + Math.min(entry.retainedEvents, entry.queue.indexAfter(sequence));
}

/** How many events the runtime had had at `sequence`. */
function ordinalAt(index: LogIndex, sequence: number): number {
  const { head } = index;
  const { floor } = index.removal;
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
