import type { Position } from "../../events/cursor.ts";
import type { ReadRequest } from "../contract.ts";
import { Chunk, type Rows } from "./chunk.ts";
import type { EventColumns } from "./columns.ts";
import type { LogIndex } from "./log-index.ts";
import { QueueCursors } from "./queue-cursors.ts";
import { floorPosition, positionAt, type ResolvedScope, resolveScope } from "./scope.ts";

/** Rows that one pass looks at, at the most: a filter that matches little must not hold up everyone else. */
const maxScannedRows = 32_768;

/** What a pass will give: rows whose bytes are still to be fetched. */
export type Selection =
  | { readonly kind: "expired"; readonly floor: Position }
  | { readonly kind: "selected"; readonly rows: Rows | undefined; readonly through: Position };

/** Decides, from memory alone, which events a pass gives and how far it gets. */
export function selectRows(index: LogIndex, request: ReadRequest): Selection {
  const scope = resolveScope(index, request.scope);
  if (request.after < scope.floor.sequence) return { kind: "expired", floor: floorPosition(scope) };
  const until = Math.min(request.until, index.head.sequence);
  if (request.after >= until) {
    return { kind: "selected", rows: undefined, through: positionAt(index, scope, request.after) };
  }
  if (scope.entries === undefined && request.kinds === undefined) return selectRun(index, scope, request, until);
  const collector = new Collector(request, until);
  if (scope.entries === undefined) scanRuntime(index, request.after, collector);
  else scanEntries(index, scope, request.after, collector);
  const through = collector.cutAt ?? until;
  return { kind: "selected", rows: collector.rows(), through: positionAt(index, scope, through) };
}

/** The plain case, on which replay depends: everything from a position on. The page is a view of one chunk. */
function selectRun(index: LogIndex, scope: ResolvedScope, request: ReadRequest, until: number): Selection {
  const { columns } = index;
  const chunk = columns.chunks[columns.chunkAfter(request.after)] as Chunk;
  const from = chunk.rowAfter(request.after);
  const end = Math.min(chunk.rowAfter(until), from + request.maxEvents);
  // Where sequences were skipped there may be no event up to `until`.
  if (end <= from) return { kind: "selected", rows: undefined, through: positionAt(index, scope, until) };
  let bytes = chunk.sizes[from] as number;
  let to = from + 1;
  while (to < end && bytes + (chunk.sizes[to] as number) <= request.maxBytes) bytes += chunk.sizes[to++] as number;
  const through = isEnd(columns, chunk, to, until) ? until : (chunk.sequences[to - 1] as number);
  return { kind: "selected", rows: chunk.view(from, to), through: positionAt(index, scope, through) };
}

/** Whether no row up to `until` follows the first `length` ones of a chunk. */
function isEnd(columns: EventColumns, chunk: Chunk, length: number, until: number): boolean {
  if (length < chunk.length) return (chunk.sequences[length] as number) > until;
  const next = columns.chunks[columns.chunkAfter(chunk.lastSequence)];
  return next === undefined || next.firstSequence > until;
}

function scanRuntime(index: LogIndex, after: number, collector: Collector): void {
  const { chunks } = index.columns;
  for (let number = index.columns.chunkAfter(after); number < chunks.length; number++) {
    const chunk = chunks[number] as Chunk;
    if (chunk.length === 0) return;
    for (let row = chunk.rowAfter(after); row < chunk.length; row++) if (!collector.offer(chunk, row)) return;
  }
}

function scanEntries(index: LogIndex, scope: ResolvedScope, after: number, collector: Collector): void {
  const cursors = new QueueCursors(scope.entries ?? [], after);
  for (let sequence = cursors.next(); sequence !== undefined; sequence = cursors.next()) {
    const chunk = index.columns.chunkOf(sequence);
    if (!collector.offer(chunk, chunk.rowAfter(sequence - 1))) return;
  }
}

/** Takes rows in order until a limit of the pass is met. */
class Collector {
  /** Where the pass stopped early; undefined: it saw everything until its end. */
  cutAt: number | undefined;
  readonly #request: ReadRequest;
  readonly #until: number;
  #scanned = 0;
  #bytes = 0;
  #seen = 0;
  #rows = new Chunk(256);

  constructor(request: ReadRequest, until: number) {
    this.#request = request;
    this.#until = until;
    this.#seen = request.after;
  }

  /** False: the pass is over. */
  offer(chunk: Chunk, row: number): boolean {
    const sequence = chunk.sequences[row] as number;
    if (sequence > this.#until) return false;
    const wanted = this.#request.kinds === undefined || this.#request.kinds.has(chunk.kinds[row] as number);
    const size = chunk.sizes[row] as number;
    const taken = this.#rows.length;
    const full =
      wanted && taken > 0 && (taken >= this.#request.maxEvents || this.#bytes + size > this.#request.maxBytes);
    if (full || this.#scanned >= maxScannedRows) {
      this.cutAt = this.#seen;
      return false;
    }
    this.#scanned++;
    this.#seen = sequence;
    if (wanted) {
      if (taken === this.#rows.capacity) this.#grow();
      this.#rows.copyRow(chunk, row);
      this.#bytes += size;
    }
    return true;
  }

  rows(): Chunk | undefined {
    return this.#rows.length === 0 ? undefined : this.#rows;
  }

  #grow(): void {
    const larger = new Chunk(this.#rows.capacity * 4);
    larger.copyAll(this.#rows);
    this.#rows = larger;
  }
}
