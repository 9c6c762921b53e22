import type { Position } from "../../events/cursor.ts";
import type { KindFilter, Scope, Seek } from "../contract.ts";
import type { Chunk } from "./chunk.ts";
import type { LogIndex } from "./log-index.ts";
import { floorPosition, positionAt, positionBefore, type ResolvedScope, resolveScope } from "./scope.ts";

/** Where a watch begins. Never below the floor of the scope. */
export function seekPosition(index: LogIndex, scope: Scope, seek: Seek): Position {
  const resolved = resolveScope(index, scope);
  switch (seek.kind) {
    case "earliest":
      return floorPosition(resolved);
    case "latest":
      return positionAt(index, resolved, index.head.sequence);
    case "time":
      return beforeTime(index, resolved, seek.timeMs);
    case "last":
      return beforeLast(index, resolved, seek.count, seek.kinds);
  }
}

function beforeTime(index: LogIndex, scope: ResolvedScope, timeMs: number): Position {
  let found: number | undefined;
  for (const chunk of index.columns.chunks) {
    if (chunk.length === 0 || (chunk.times[chunk.length - 1] as number) < timeMs) continue;
    let low = 0;
    let high = chunk.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((chunk.times[middle] as number) >= timeMs) high = middle;
      else low = middle + 1;
    }
    found = (chunk.sequences[low] as number) - 1;
    break;
  }
  const { head } = index;
  return positionAt(index, scope, Math.min(found ?? head.sequence, head.sequence));
}

function beforeLast(index: LogIndex, scope: ResolvedScope, count: number, kinds: KindFilter): Position {
  let left = count;
  let first: { chunk: Chunk; row: number } | undefined;
  for (const place of backwards(index, scope)) {
    if (left <= 0) break;
    if (kinds !== undefined && !kinds.has(place.chunk.kinds[place.row] as number)) continue;
    first = { chunk: place.chunk, row: place.row };
    left--;
  }
  if (count > 0 && left > 0) return floorPosition(scope);
  if (first === undefined) return positionAt(index, scope, index.head.sequence);
  return positionBefore(scope, first.chunk, first.row);
}

/** The retained events of the scope, newest first. The same object is given again and again. */
function* backwards(index: LogIndex, scope: ResolvedScope): Iterable<{ chunk: Chunk; row: number }> {
  const { columns, head } = index;
  const place: { chunk: Chunk; row: number } = { chunk: columns.chunks[0] as Chunk, row: 0 };
  if (scope.entries === undefined) {
    for (let number = columns.chunks.length - 1; number >= 0; number--) {
      place.chunk = columns.chunks[number] as Chunk;
      for (place.row = place.chunk.length - 1; place.row >= 0; place.row--) {
        const sequence = place.chunk.sequences[place.row] as number;
        if (sequence <= scope.floor.sequence) return;
        if (sequence <= head.sequence) yield place;
      }
    }
    return;
  }
  const left = scope.entries.map((entry) => entry.queue.indexAfter(head.sequence));
  for (;;) {
    let newest = -1;
    let newestSequence = scope.floor.sequence;
    for (let i = 0; i < left.length; i++) {
      const at = left[i] as number;
      const sequence = at > 0 ? (scope.entries[i]?.queue.at(at - 1) as number) : 0;
      if (sequence > newestSequence) {
        newest = i;
        newestSequence = sequence;
      }
    }
    if (newest < 0) return;
    left[newest] = (left[newest] as number) - 1;
    place.chunk = columns.chunkOf(newestSequence);
    place.row = place.chunk.rowAfter(newestSequence - 1);
    yield place;
  }
}
