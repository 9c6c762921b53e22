import { limits } from "../base/limits.ts";
import { hashId, type Position } from "../events/cursor.ts";
import { jobEndKinds, workerEndKinds } from "../events/kinds.ts";
import type { EventBlock } from "../log/block.ts";
import type { KindFilter, Scope } from "../log/contract.ts";
import type { Subjects } from "../log/subjects.ts";
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
  /** Hash of the job; 0: the scope is none. */
  readonly jobHash: number;
  /** Frames by the name of their form. */
  readonly channels = new Map<string, Channel<unknown, unknown>>();
  /** Watches that hold it, and those of them that read the log. */
  users = 0;
  catchingUp = 0;
  /** Kinds that may end the scope. */
  readonly #endKinds: ReadonlySet<number>;
  #ordinal = 0;
  /** What matched since the last flush. */
  #pending: Match[] = [];
  /** Whether the scope may have ended since the last flush. */
  #ending = false;

  constructor(key: string, scope: Scope, kinds: KindFilter) {
    this.key = key;
    this.scope = scope;
    this.kinds = kinds;
    this.workerHash =
      scope.kind === "workers" && scope.workerIds.length === 1 ? hashId(scope.workerIds[0] as string) : 0;
    this.jobHash = scope.kind === "job" ? hashId(scope.jobId) : 0;
    this.#endKinds = scope.kind === "job" ? jobEndKinds : workerEndKinds;
  }

  /** Whether it wants every event. */
  get whole(): boolean {
    return this.scope.kind === "runtime" && this.kinds === undefined;
  }

  /** Begins to be offered events: those after `position`, which counts in its scope. */
  begin(position: Position): void {
    this.#ordinal = this.jobHash === 0 ? position.workerOrdinal : position.jobOrdinal;
  }

  /** Events that the only worker, or the job, has had, as far as they were offered. */
  get ordinal(): number {
    return this.#ordinal;
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

  /** Adds one event, to a selection of its worker or its job. */
  matchEvent(block: EventBlock, index: number): void {
    const kind = block.kinds[index] as number;
    if (this.jobHash !== 0) this.#ordinal = block.jobOrdinals[index] as number;
    else if (this.workerHash !== 0) this.#ordinal = block.workerOrdinals[index] as number;
    // A watch of other kinds must still hear that its scope ended.
    if (this.#endKinds.has(kind)) this.#ending = true;
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
    const { workerHash, jobHash } = this;
    return {
      sequence: head.sequence,
      ordinal: head.ordinal,
      workerHash,
      workerOrdinal: workerHash === 0 ? 0 : this.#ordinal,
      jobHash,
      jobOrdinal: jobHash === 0 ? 0 : this.#ordinal,
    };
  }

  #add(block: EventBlock, index: number): void {
    const last = this.#pending.at(-1);
    if (last?.block === block) last.indices?.push(index);
    else this.#pending.push({ block, indices: [index] });
  }
}

/** Equal for equal selections, whatever the order in which workers and kinds are named. */
export function selectionKey(scope: Scope, kinds: KindFilter): string {
  return JSON.stringify([
    scope.kind,
    scope.kind === "job" ? scope.jobId : null,
    scope.kind === "workers" ? [...new Set(scope.workerIds)].sort() : null,
    kinds === undefined ? null : [...kinds].sort((a, b) => a - b),
  ]);
}

/** Active selections by the id of the worker or job that they want events of. */
class SelectionsById {
  readonly #byId = new Map<string, Set<Selection>>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: string): ReadonlySet<Selection> | undefined {
    return this.#byId.get(id);
  }

  /** True: it is the first of this id. */
  add(id: string, selection: Selection): boolean {
    const selections = this.#byId.get(id);
    if (selections === undefined) this.#byId.set(id, new Set([selection]));
    else selections.add(selection);
    return selections === undefined;
  }

  /** True: it was the last of this id. */
  delete(id: string, selection: Selection): boolean {
    const selections = this.#byId.get(id);
    selections?.delete(selection);
    return selections?.size === 0 && this.#byId.delete(id);
  }
}

/** The selections in use, and those with channels found by what an event is. */
export class Selections {
  readonly #byKey = new Map<string, Selection>();
  readonly #ofRuntime = new Set<Selection>();
  readonly #byWorker = new SelectionsById();
  /** The same by the number that the log gives the worker; filled as workers are seen. */
  readonly #byWorkerNumber = new Map<number, ReadonlySet<Selection> | undefined>();
  // Jobs come and go by the million, and their numbers with them: what was found for one is not kept.
  readonly #byJob = new SelectionsById();

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
    const { scope } = selection;
    if (scope.kind === "runtime") this.#ofRuntime.add(selection);
    else if (scope.kind === "job") this.#byJob.add(scope.jobId, selection);
    else {
      for (const workerId of scope.workerIds) {
        if (this.#byWorker.add(workerId, selection)) this.#byWorkerNumber.clear();
      }
    }
  }

  deactivate(selection: Selection): void {
    selection.takePending();
    const { scope } = selection;
    if (scope.kind === "runtime") this.#ofRuntime.delete(selection);
    else if (scope.kind === "job") this.#byJob.delete(scope.jobId, selection);
    else {
      for (const workerId of scope.workerIds) {
        if (this.#byWorker.delete(workerId, selection)) this.#byWorkerNumber.clear();
      }
    }
  }

  /** Offers a block to the active selections; `dirty` takes those that want something of it. */
  match(block: EventBlock, dirty: Set<Selection>): void {
    for (const selection of this.#ofRuntime) {
      selection.matchBlock(block);
      if (selection.dirty) dirty.add(selection);
    }
    if (this.#byWorker.size > 0) {
      const { workers, subjects } = block;
      for (let i = 0; i < block.length; i++) offer(this.#ofWorker(workers[i] as number, subjects), block, i, dirty);
    }
    if (this.#byJob.size > 0) {
      const { jobs, jobSubjects } = block;
      let known = 0;
      let interested: ReadonlySet<Selection> | undefined;
      for (let i = 0; i < block.length; i++) {
        const number = jobs[i] as number;
        // Neighbours are often of one job.
        if (number !== known) {
          known = number;
          interested = this.#byJob.get(jobSubjects.idOf(number));
        }
        offer(interested, block, i, dirty);
      }
    }
  }

  #ofWorker(number: number, subjects: Subjects): ReadonlySet<Selection> | undefined {
    let interested = this.#byWorkerNumber.get(number);
    if (interested === undefined && !this.#byWorkerNumber.has(number)) {
      // A worker that was forgotten and came back has another number.
      if (this.#byWorkerNumber.size >= limits.maxWorkers) this.#byWorkerNumber.clear();
      interested = this.#byWorker.get(subjects.idOf(number));
      this.#byWorkerNumber.set(number, interested);
    }
    return interested;
  }
}

function offer(
  interested: ReadonlySet<Selection> | undefined,
  block: EventBlock,
  index: number,
  dirty: Set<Selection>,
): void {
  if (interested === undefined) return;
  for (const selection of interested) {
    selection.matchEvent(block, index);
    if (selection.dirty) dirty.add(selection);
  }
}
