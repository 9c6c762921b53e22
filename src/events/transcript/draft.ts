import { create } from "@bufbuild/protobuf";
import type { Event } from "../../../gen/tailrace/v1/event_pb.ts";
import { type TranscriptEntry, TranscriptEntrySchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../../base/limits.ts";
import { type BlockKind, type EntryContent, lacksBeginning, nameOf, sizeOf } from "./entries.ts";
import { EntryList } from "./entry-list.ts";
import type { TranscriptState } from "./state.ts";

/** What of an event a fold uses. */
export type FoldedEvent = Pick<Event, "sequence" | "time" | "jobId" | "payload">;

/**
 * A transcript while one event changes it. Entries that were read later than the state may know the event already: such a
 * one is left as it is, and what does not exist yet by the order of events is not found. Everything else (which entries are
 * in flight, the next number) follows from the events alone, never from what an entry says of a time to come.
 */
export class Draft {
  readonly event: FoldedEvent;
  readonly #base: TranscriptState;
  readonly #sequence: number;
  #entries: EntryList;
  #open: readonly number[];
  #next: number;
  #bytes: number;
  #replaced: number;
  #dropped: number;
  commands: TranscriptState["commands"];
  turn: bigint;
  workerState: TranscriptState["workerState"];

  constructor(base: TranscriptState, event: FoldedEvent) {
    this.event = event;
    this.#base = base;
    this.#sequence = Number(event.sequence);
    this.#entries = base.entries;
    this.#open = base.openEntries;
    this.#next = base.nextEntryNumber;
    this.#bytes = base.bytes;
    this.#replaced = base.replaced;
    this.#dropped = base.droppedEntries;
    this.commands = base.commands;
    this.turn = base.turn;
    this.workerState = base.workerState;
  }

  get limits(): TranscriptState["limits"] {
    return this.#base.limits;
  }

  /** Adds an entry at the end. `open`: it is in flight. */
  add(content: EntryContent, options: { readonly open?: boolean; readonly truncated?: boolean } = {}): void {
    const open = options.open ?? false;
    const entryNumber = this.#next++;
    if (open) this.#open = [...this.#open, entryNumber];
    if (Number(this.#entries.last?.entryNumber ?? 0n) < entryNumber) {
      const { sequence, time, jobId } = this.event;
      const entry = create(TranscriptEntrySchema, {
        entryNumber: BigInt(entryNumber),
        revision: sequence,
        createSequence: sequence,
        isFinal: !open,
        jobId,
        turn: this.turn,
        truncated: (options.truncated ?? false) || lacksBeginning(content),
        ...(time === undefined ? {} : { createTime: time, updateTime: time }),
      });
      entry.content = content;
      this.#bytes += sizeOf(entry);
      this.#entries = this.#entries.append(entry);
    }
    while (this.#open.length > limits.maxOpenTranscriptEntries) this.close(this.#open[0] as number);
  }

  /** Changes an entry. `change` gives nothing where nothing changes. */
  update(
    entryNumber: number,
    change: (entry: TranscriptEntry) => { content?: EntryContent; isFinal?: boolean; truncated?: boolean } | undefined,
  ): void {
    const entry = this.#entries.get(entryNumber);
    // What it knows already changes nothing when it is applied again.
    if (entry === undefined || Number(entry.revision) >= this.#sequence) return;
    const changes = change(entry);
    if (changes === undefined) return;
    const { sequence, time } = this.event;
    const changed: TranscriptEntry = {
      ...entry,
      ...changes,
      revision: sequence,
      ...(time === undefined ? {} : { updateTime: time }),
    };
    if (changes.content !== undefined) {
      changed.truncated ||= lacksBeginning(changes.content);
      this.#bytes += sizeOf(changed) - sizeOf(entry);
    }
    this.#entries = this.#entries.replace(changed);
  }

  /** Takes an entry off what is in flight, and says in it that it is complete. */
  close(entryNumber: number): void {
    this.forgetOpen(entryNumber);
    this.update(entryNumber, (entry) => (entry.isFinal ? undefined : { isFinal: true }));
  }

  /** Takes an entry off what is in flight. */
  forgetOpen(entryNumber: number): void {
    if (this.isOpen(entryNumber)) this.#open = this.#open.filter((open) => open !== entryNumber);
  }

  /** Closes what is in flight: blocks of text and thinking, or everything. */
  closeOpen(what: "blocks" | "all"): void {
    for (const entryNumber of this.#open) {
      const kind = this.#entries.get(entryNumber)?.content.case;
      if (what === "all" || kind === "text" || kind === "thinking") this.close(entryNumber);
    }
  }

  isOpen(entryNumber: number): boolean {
    return this.#open.includes(entryNumber);
  }

  /** The newest entry of a kind that is in flight. */
  newestOpen(kind: BlockKind): number | undefined {
    return this.#open.findLast((entryNumber) => this.#entries.get(entryNumber)?.content.case === kind);
  }

  /** The newest entry of one of these kinds that has this name. Of an empty name only one that is in flight. */
  find(kinds: readonly EntryContent["case"][], name: string): number | undefined {
    const fits = (entry: TranscriptEntry | undefined) =>
      entry !== undefined &&
      kinds.includes(entry.content.case) &&
      nameOf(entry) === name &&
      Number(entry.createSequence) < this.#sequence;
    const open = this.#open.findLast((entryNumber) => fits(this.#entries.get(entryNumber)));
    if (open !== undefined || name === "") return open;
    for (const entry of this.#entries.descending()) if (fits(entry)) return Number(entry.entryNumber);
    return undefined;
  }

  /** Takes back an entry and all after it. */
  removeFrom(entryNumber: number): void {
    this.#entries = this.#entries.before(entryNumber);
    this.#open = this.#open.filter((open) => open < entryNumber);
    this.#bytes = totalSize(this.#entries);
    this.#replaced = this.#sequence;
  }

  /** Takes back everything. */
  removeAll(): void {
    this.#entries = EntryList.empty;
    this.#open = [];
    this.#bytes = 0;
    this.#replaced = this.#sequence;
  }

  /** Counts entries that come first of many and would be dropped at once. */
  leaveOut(count: number): void {
    this.#next += count;
    this.#dropped += count;
  }

  finish(): TranscriptState {
    const base = this.#base;
    const changed =
      this.#entries !== base.entries ||
      this.#open !== base.openEntries ||
      this.#next !== base.nextEntryNumber ||
      this.commands !== base.commands ||
      this.turn !== base.turn ||
      this.workerState !== base.workerState;
    if (!changed) return { ...base, sequence: this.#sequence };
    return withinLimits({
      entries: this.#entries,
      commands: this.commands,
      workerState: this.workerState,
      turn: this.turn,
      openEntries: this.#open,
      nextEntryNumber: this.#next,
      droppedEntries: this.#dropped,
      bytes: this.#bytes,
      sequence: this.#sequence,
      revision: this.#sequence,
      replaced: this.#replaced,
      limits: base.limits,
      settling: base.settling,
    });
  }
}

/** Sizes of entries together. */
export function totalSize(entries: Iterable<TranscriptEntry>): number {
  let bytes = 0;
  for (const entry of entries) bytes += sizeOf(entry);
  return bytes;
}

/** Without the oldest entries, so many that it is within its limits. The newest one always stays. */
export function withinLimits(state: TranscriptState, { maxEntries, maxBytes } = state.limits): TranscriptState {
  if (state.settling || (state.entries.length <= maxEntries && state.bytes <= maxBytes)) return state;
  let { bytes } = state;
  let count = 0;
  for (const entry of state.entries) {
    const left = state.entries.length - count;
    if (left <= 1 || (left <= maxEntries && bytes <= maxBytes)) break;
    bytes -= sizeOf(entry);
    count++;
  }
  return withoutOldest(state, count, bytes);
}

/** Without its `count` oldest entries, which leaves `bytes`. */
export function withoutOldest(state: TranscriptState, count: number, bytes: number): TranscriptState {
  if (count === 0) return state;
  const entries = state.entries.withoutFirst(count);
  const first = Number(entries.first?.entryNumber ?? state.nextEntryNumber);
  return {
    ...state,
    entries,
    bytes,
    droppedEntries: state.droppedEntries + count,
    openEntries: state.openEntries.filter((open) => open >= first),
  };
}
