import { NumberedTable } from "../numbered-table.ts";
import { Subjects } from "../subjects.ts";
import { type Floor, noFloor, ScopeEntry } from "./scope-entry.ts";

/** The workers of a log, or its jobs. Readers find those that exist by id; events name all of them by number. */
export class ScopeTable {
  readonly subjects = new Subjects();
  /** Stands for the events of no worker, which are kept and trimmed as if they had one. Events of no job are simply of none. */
  readonly none: ScopeEntry;
  readonly #isJob: boolean;
  readonly #byNumber = new NumberedTable<ScopeEntry>();
  readonly #byId = new Map<string, ScopeEntry>();
  /** How the group being committed changes who has an id; null: nobody does any more. */
  readonly #planned = new Map<string, ScopeEntry | null>();

  constructor(isJob: boolean) {
    this.#isJob = isJob;
    this.none = new ScopeEntry(isJob, 0, "", 0, 0, noFloor);
    this.#byNumber.set(0, this.none);
  }

  /** How many exist. */
  get size(): number {
    return this.#byId.size;
  }

  /** Those that exist, without the one that stands for the events of no worker. */
  existing(): Iterable<ScopeEntry> {
    return this.#byId.values();
  }

  /** Also those that are only names, or on their way to exist. */
  all(): Iterable<ScopeEntry> {
    return this.#byNumber.values();
  }

  get(number: number): ScopeEntry | undefined {
    return this.#byNumber.get(number);
  }

  /** Undefined: it does not exist. */
  entryOf(id: string): ScopeEntry | undefined {
    return this.#byId.get(id);
  }

  /**
   * The one that the next event of an id belongs to, on its way to exist if it does not yet.
   * @param firstSequence of that event. @param floor that it begins with, should it be new.
   */
  toGrow(id: string, firstSequence: number, floor: Floor): ScopeEntry {
    if (id === "") return this.none;
    const planned = this.#planned.size === 0 ? undefined : this.#planned.get(id);
    if (planned) return planned;
    const known = planned === null ? undefined : this.#byId.get(id);
    if (known !== undefined) return known;
    const entry = this.#create(id, firstSequence, floor);
    this.#planned.set(id, entry);
    return entry;
  }

  /** The one that has an id is forgotten once the group is committed; undefined: there is none. */
  toForget(id: string): ScopeEntry | undefined {
    const planned = this.#planned.get(id);
    const entry = planned === undefined ? this.#byId.get(id) : planned;
    if (!entry) return undefined;
    this.#planned.set(id, null);
    return entry;
  }

  /** Readers see what was planned. */
  commitPlanned(created: readonly ScopeEntry[]): void {
    for (const entry of created) if (entry.isJob === this.#isJob) this.#byId.set(entry.id, entry);
    this.#planned.clear();
  }

  rollBackPlanned(created: readonly ScopeEntry[]): void {
    this.#planned.clear();
    for (const entry of created) if (entry.isJob === this.#isJob) this.letGo(entry);
  }

  /** Puts one back that existed when the log was closed. */
  restore(id: string, firstSequence: number, floor: Floor): ScopeEntry {
    const entry = this.#create(id, firstSequence, floor);
    this.#byId.set(id, entry);
    return entry;
  }

  /** Puts back a forgotten one, that is only a name. */
  restoreName(id: string, firstSequence: number): ScopeEntry {
    const entry = this.#create(id, firstSequence, noFloor);
    entry.forgotten = true;
    entry.plannedForgotten = true;
    return entry;
  }

  /** Nobody finds it any more; what names it still does. */
  unlist(entry: ScopeEntry): void {
    // Another one may have the id by now.
    if (this.#byId.get(entry.id) === entry) this.#byId.delete(entry.id);
  }

  /** Nothing names it any more. */
  letGo(entry: ScopeEntry): void {
    this.#byNumber.delete(entry.number);
    this.subjects.drop(entry.number);
  }

  #create(id: string, firstSequence: number, floor: Floor): ScopeEntry {
    const number = this.subjects.add(id);
    const hash = this.subjects.hashOf(number);
    const entry = new ScopeEntry(this.#isJob, number, id, hash, this.#isJob ? firstSequence : 0, floor);
    this.#byNumber.set(number, entry);
    return entry;
  }
}
