import type { WorkerState } from "../../gen/tailrace/v1/payloads_pb.ts";
import type { TranscriptCommand, TranscriptEntry } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { EntryList } from "../events/transcript/entry-list.ts";
import type { TranscriptState } from "../events/transcript/state.ts";

/**
 * A worker's transcript at one instant. Nothing in it ever changes, and what two transcripts have in common is the same
 * object in both: compare entries with `===` to see what to draw again.
 */
export class Transcript {
  readonly workerId: string;
  /** Position of the instant. A watch from it neither repeats nor misses anything. Empty: before everything. */
  readonly cursor: string;
  /** Revision, where the transcript was read; empty where it was folded from events. */
  readonly revision: string;
  readonly #state: TranscriptState;
  readonly #before: TranscriptState | undefined;
  #entries: readonly TranscriptEntry[] | undefined;

  /** @internal */
  constructor(
    workerId: string,
    at: { readonly cursor: string; readonly revision: string },
    state: TranscriptState,
    before?: TranscriptState,
  ) {
    this.workerId = workerId;
    this.cursor = at.cursor;
    this.revision = at.revision;
    this.#state = state;
    this.#before = before;
  }

  /** @internal The same, known to be true up to another position. */
  at(cursor: string): Transcript {
    return new Transcript(this.workerId, { cursor, revision: this.revision }, this.#state, this.#before);
  }

  /** Entries in order, those that are kept. An entry that is not final is in flight: it may still grow. */
  get entries(): readonly TranscriptEntry[] {
    this.#entries ??= [...this.#state.entries];
    return this.#entries;
  }

  /** Entries that are new or changed since the transcript before this one of the same follow; else all. */
  get changed(): readonly TranscriptEntry[] {
    return [...this.#state.entries.changedSince(this.#before?.entries ?? EntryList.empty)];
  }

  /** Whether entries of the transcript before this one are gone: taken back by a rewind, replaced by a snapshot. */
  get reset(): boolean {
    return this.#before === undefined || this.#before.replaced !== this.#state.replaced;
  }

  /** The entry of a number; undefined: it is not kept. */
  entry(entryNumber: number): TranscriptEntry | undefined {
    return this.#state.entries.get(entryNumber);
  }

  /** Commands that run or just ended, in the order of their start, with the end of their output. */
  get commands(): readonly TranscriptCommand[] {
    return this.#state.commands;
  }

  /** What the worker does. */
  get state(): WorkerState {
    return this.#state.workerState;
  }

  /** Turn that the worker is in. Zero: none, or not said. */
  get turn(): number {
    return Number(this.#state.turn);
  }

  /** Oldest entries that were dropped to bound the transcript's memory. */
  get droppedEntries(): number {
    return this.#state.droppedEntries;
  }
}
