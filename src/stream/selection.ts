import { hashId, type Position } from "../events/cursor.ts";
import { endKinds } from "../events/kinds.ts";
import type { EventBlock } from "../log/block.ts";
import type { KindFilter, Scope } from "../log/contract.ts";
import type { Channel } from "./channel.ts";

/** Wanted events of one block: all of them, or those at `indices`. */
export interface Match {
  readonly block: EventBlock;
  readonly indices: number[] | undefined;
}

/** The same for every watch that wants the same events: one matching and one encoding serves them all. */
export class Selection {
  readonly key: string;
  readonly scope: Scope;
  readonly kinds: KindFilter;
  /** Hash of the only worker; 0: the scope has none or several. */
  readonly workerHash: number;
  /** Frames by the name of their form. */
  readonly channels = new Map<string, Channel<unknown, unknown>>();
  /** Watches that hold it. */
  users = 0;
  /** Events that the only worker has had, as far as they were offered. */
  #workerOrdinal = 0;
  /** What matched since the last flush. */
  #pending: Match[] = [];
  /** Whether a worker of the scope ended since the last flush. */
  #ending = false;

  constructor(key: string, scope: Scope, kinds: KindFilter) {
    this.key = key;
    this.scope = scope;
    this.kinds = kinds;
    this.workerHash =
      scope.kind === "workers" && scope.workerIds.length === 1 ? hashId(scope.workerIds[0] as string) : 0;
  }

  /** Whether it wants every event. */
  get whole(): boolean {
    return this.scope.kind === "runtime" && this.kinds === undefined;
  }

  /** Begins to be offered events: those after `position`, which counts in its scope. */
  begin(position: Position): void {
    this.#workerOrdinal = position.workerOrdinal;
  }

  get dirty(): boolean {
    return this.#pending.length > 0 || this.#ending;
  }

  /** Adds a whole block, to a selection of the runtime. */
  matchBlock(block: EventBlock): void {
    const { kinds } = this;
    if (kinds === undefined) {
      this.#pending.push({ block, indices: undefined });
      return;
    }
    for (let i = 0; i < block.length; i++) {
      if (kinds.has(block.kinds[i] as number)) this.#add(block, i);
    }
  }

  /** Adds one event, to a selection of its worker. */
  matchEvent(block: EventBlock, index: number): void {
    const kind = block.kinds[index] as number;
    if (this.workerHash !== 0) this.#workerOrdinal = block.workerOrdinals[index] as number;
    // A watch of other kinds must still hear that its worker ended.
    if (endKinds.has(kind)) this.#ending = true;
    if (this.kinds === undefined || this.kinds.has(kind)) this.#add(block, index);
  }

  takePending(): Match[] {
    const pending = this.#pending;
    this.#pending = [];
    this.#ending = false;
    return pending;
  }

  /** A position of the runtime that everything offered so far leads to, counted in this selection's scope. */
  position(head: Position): Position {
    return { ...head, workerHash: this.workerHash, workerOrdinal: this.workerHash === 0 ? 0 : this.#workerOrdinal };
  }

  #add(block: EventBlock, index: number): void {
    const last = this.#pending.at(-1);
    if (last?.block === block) last.indices?.push(index);
    else this.#pending.push({ block, indices: [index] });
  }
}

/** Equal for equal selections, whatever the order in which workers and kinds are named. */
export function selectionKey(scope: Scope, kinds: KindFilter): string {
  const workers = scope.kind === "runtime" ? null : [...new Set(scope.workerIds)].sort();
  return JSON.stringify([workers, kinds === undefined ? null : [...kinds].sort((a, b) => a - b)]);
}

/** The selections in use, and those with channels found by what an event is. */
export class Selections {
  readonly #byKey = new Map<string, Selection>();
  readonly #ofRuntime = new Set<Selection>();
  readonly #byWorker = new Map<string, Set<Selection>>();
  /** The same by the number that the log gives the worker; filled as workers are seen. */
  readonly #byWorkerNumber = new Map<number, ReadonlySet<Selection> | undefined>();

  get size(): number {
    return this.#byKey.size;
  }

  /** The one selection of a scope and kinds, until as many `release` it as acquired it. */
  acquire(scope: Scope, kinds: KindFilter): Selection {
    const key = selectionKey(scope, kinds);
    let selection = this.#byKey.get(key);
    if (selection === undefined) {
      selection = new Selection(key, scope, kinds);
      this.#byKey.set(key, selection);
    }
    selection.users++;
    return selection;
  }

  release(selection: Selection): void {
    if (--selection.users === 0) this.#byKey.delete(selection.key);
  }

  /** From now on the selection is offered events. */
  activate(selection: Selection): void {
    if (selection.scope.kind === "runtime") {
      this.#ofRuntime.add(selection);
      return;
    }
    for (const workerId of selection.scope.workerIds) {
      let ofWorker = this.#byWorker.get(workerId);
      if (ofWorker === undefined) {
        ofWorker = new Set();
        this.#byWorker.set(workerId, ofWorker);
        this.#byWorkerNumber.clear();
      }
      ofWorker.add(selection);
    }
  }

  deactivate(selection: Selection): void {
    selection.takePending();
    this.#ofRuntime.delete(selection);
    if (selection.scope.kind === "runtime") return;
    for (const workerId of selection.scope.workerIds) {
      const ofWorker = this.#byWorker.get(workerId);
      ofWorker?.delete(selection);
      if (ofWorker?.size === 0) {
        this.#byWorker.delete(workerId);
        this.#byWorkerNumber.clear();
      }
    }
  }

  /** Offers a block to the active selections; `dirty` takes those that want something of it. */
  match(block: EventBlock, dirty: Set<Selection>): void {
    for (const selection of this.#ofRuntime) {
      selection.matchBlock(block);
      if (selection.dirty) dirty.add(selection);
    }
    if (this.#byWorker.size === 0) return;
    const { workers, subjects } = block;
    for (let i = 0; i < block.length; i++) {
      const number = workers[i] as number;
      let interested = this.#byWorkerNumber.get(number);
      if (interested === undefined && !this.#byWorkerNumber.has(number)) {
        interested = this.#byWorker.get(subjects.idOf(number));
        this.#byWorkerNumber.set(number, interested);
      }
      if (interested === undefined) continue;
      for (const selection of interested) {
        selection.matchEvent(block, i);
        if (selection.dirty) dirty.add(selection);
      }
    }
  }
}
