import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import type { ActiveJob } from "./active.ts";
import { isTerminal, type TerminalState } from "./machine.ts";
import type { KeyUse, RecordHeader } from "./record.ts";

/** A job that is remembered. The rest of what is known of it lies encoded in the log's state. */
export interface JobEntry {
  readonly id: string;
  readonly operation: string;
  /** Idempotency key; empty: none. */
  key: string;
  /** Committed state; JOB_STATE_UNSPECIFIED: not committed yet. */
  state: JobState;
  /** Sequence before its first event: jobs are listed in this order. */
  sequence: number;
  /** Sequence of its end event, and when it ended; 0: it has not. */
  endSequence: number;
  endTimeMs: number;
  /** Bytes of its record. */
  recordBytes: number;
  /** Id of the server that it waits at or runs at, as committed; undefined: it is not committed, or has ended. */
  owner: string | undefined;
  /** How it ends by an append of this server that was handed to a shared log and is not over; undefined: there is none. */
  sentEnd: TerminalState | undefined;
  /** What it does here until its end is committed. */
  active: ActiveJob | undefined;
}

/** A job that is about to be committed. */
export function newEntry(id: string, operation: string, key: string): JobEntry {
  return {
    id,
    operation,
    key,
    state: JobState.UNSPECIFIED,
    sequence: 0,
    endSequence: 0,
    endTimeMs: 0,
    recordBytes: 0,
    owner: undefined,
    sentEnd: undefined,
    active: undefined,
  };
}

/** The jobs that are remembered: by id, in the order of their submission, and, ended, in the order of their end. */
export class JobTable {
  readonly #byId = new Map<string, JobEntry>();
  readonly #keys = new Map<string, KeyUse>();
  /** Jobs that wait or run, by the server that has them. */
  readonly #byOwner = new Map<string, Set<JobEntry>>();
  /** Committed jobs, oldest first. Those that were removed meanwhile are taken out when they are the half of it. */
  #order: JobEntry[] = [];
  /** Ended jobs, oldest end first, from `#firstEnded` on. */
  #ended: JobEntry[] = [];
  #firstEnded = 0;
  #recordBytes = 0;

  /** Jobs that are remembered, those that are being committed included. */
  get size(): number {
    return this.#byId.size;
  }

  /** Bytes of their records. */
  get recordBytes(): number {
    return this.#recordBytes;
  }

  /** Places held for jobs in lists, to check that they stay in proportion. */
  get places(): number {
    return this.#order.length + this.#ended.length;
  }

  get(id: string): JobEntry | undefined {
    return this.#byId.get(id);
  }

  add(entry: JobEntry): void {
    this.#byId.set(entry.id, entry);
  }

  keyUse(key: string): KeyUse | undefined {
    return this.#keys.get(key);
  }

  useKey(key: string, use: KeyUse): void {
    this.#keys.set(key, use);
    const entry = this.#byId.get(use.jobId);
    if (entry !== undefined) entry.key = key;
  }

  forgetKey(key: string): void {
    this.#keys.delete(key);
  }

  /** Servers that have jobs which wait or run. */
  get owners(): readonly string[] {
    return [...this.#byOwner.keys()];
  }

  /** The jobs that wait or run at a server. */
  ofOwner(owner: string): readonly JobEntry[] {
    return [...(this.#byOwner.get(owner) ?? [])];
  }

  /** Takes over what was committed of a job. */
  commit(entry: JobEntry, header: RecordHeader, recordBytes: number): void {
    if (this.#byId.get(entry.id) !== entry) return;
    const before = entry.state;
    entry.state = header.state;
    entry.sequence = header.beforeSequence;
    entry.endSequence = header.endSequence;
    entry.endTimeMs = header.endTimeMs;
    this.#recordBytes += recordBytes - entry.recordBytes;
    entry.recordBytes = recordBytes;
    this.#own(entry, isTerminal(entry.state) ? undefined : header.owner);
    if (before === JobState.UNSPECIFIED) this.#order.push(entry);
    if (isTerminal(entry.state) && !isTerminal(before)) {
      entry.active = undefined;
      this.#ended.push(entry);
    }
  }

  /** Puts jobs that were read in no particular order into their orders. */
  sort(): void {
    this.#order.sort((a, b) => a.sequence - b.sequence);
    this.#ended.sort((a, b) => a.endSequence - b.endSequence);
  }

  remove(entry: JobEntry): void {
    if (this.#byId.get(entry.id) !== entry) return;
    this.#byId.delete(entry.id);
    this.#recordBytes -= entry.recordBytes;
    this.#own(entry, undefined);
    if (entry.key !== "" && this.#keys.get(entry.key)?.jobId === entry.id) this.#keys.delete(entry.key);
    if (this.#order.length > 2 * this.#byId.size + sparePlaces) {
      this.#order = this.#order.filter(({ id }) => this.#byId.has(id));
    }
    // Those that other servers forgot went from anywhere in between.
    if (this.#ended.length > 2 * this.#byId.size + sparePlaces) {
      this.#ended = this.#ended.slice(this.#firstEnded).filter(({ id }) => this.#byId.has(id));
      this.#firstEnded = 0;
    }
  }

  /** The job that ended first; undefined: none has ended. */
  get oldestEnded(): JobEntry | undefined {
    for (; this.#firstEnded < this.#ended.length; this.#firstEnded++) {
      const entry = this.#ended[this.#firstEnded] as JobEntry;
      if (this.#byId.get(entry.id) === entry) return entry;
    }
    return undefined;
  }

  /** Takes the job that ended first out of memory. */
  takeOldestEnded(): JobEntry | undefined {
    const entry = this.oldestEnded;
    if (entry === undefined) return undefined;
    this.#firstEnded++;
    if (this.#firstEnded > this.#ended.length / 2) {
      this.#ended = this.#ended.slice(this.#firstEnded);
      this.#firstEnded = 0;
    }
    this.remove(entry);
    return entry;
  }

  /** Committed jobs that were submitted before this sequence, newest first. */
  *newestFirst(before: number): Generator<JobEntry> {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#order[middle] as JobEntry).sequence < before) low = middle + 1;
      else high = middle;
    }
    for (let i = low - 1; i >= 0; i--) {
      const entry = this.#order[i] as JobEntry;
      if (this.#byId.get(entry.id) === entry) yield entry;
    }
  }

  #own(entry: JobEntry, owner: string | undefined): void {
    if (entry.owner === owner) return;
    if (entry.owner !== undefined) {
      const before = this.#byOwner.get(entry.owner);
      before?.delete(entry);
      if (before?.size === 0) this.#byOwner.delete(entry.owner);
    }
    entry.owner = owner;
    if (owner === undefined) return;
    const own = this.#byOwner.get(owner);
    if (own === undefined) this.#byOwner.set(owner, new Set([entry]));
    else own.add(entry);
  }
}

/** Places of removed jobs that are no reason to tidy up. */
const sparePlaces = 64;
