import type { RetentionLimits } from "../../../base/limits.ts";
import { type EventBlock, jobsOf } from "../../block.ts";
import type { PendingAppend } from "../../commit/pending.ts";
import { boundsOfStoredBytes, type PreparedGroup, stageGroup, writeStoredBytes } from "../../commit/stage.ts";
import { type AppendResult, holdKey, type PendingEvent } from "../../contract.ts";
import { LogIndex } from "../../index/log-index.ts";
import type { ScopeEntry } from "../../index/scope-entry.ts";
import { SegmentUses } from "../../index/segment-uses.ts";
import { decodeHead, type GroupHead } from "../stream/heads.ts";
import { decodeMessage, type GroupMessage, NewerFormat } from "../stream/messages.ts";
import { Lives } from "./lives.ts";
import { Puts } from "./puts.ts";
import { RecentMessages } from "./recent.ts";

/** A message as the stream has it. */
export interface StreamMessage {
  /** Its sequence in the stream. */
  readonly sequence: number;
  /** When the stream took it, in milliseconds since the epoch; undefined: not known yet of what this server has sent itself. */
  readonly timeMs: number | undefined;
  readonly payload: Uint8Array;
}

/** A group that was folded. */
export interface FoldedGroup {
  readonly head: GroupHead;
  /**
   * Where its appends went; undefined: another writer had put what this one put or depends on, or its server goes on in
   * another life, so nothing was committed.
   */
  readonly results: readonly (AppendResult | undefined)[];
}

type TellBlock = (block: EventBlock) => void;
type TellState = (puts: ReadonlyMap<string, Uint8Array | null>) => void;

/** Messages of the stream are missing that nobody may have removed before everyone had folded them. */
export class StreamGap extends Error {
  override readonly name = "StreamGap";
}

/** Where messages lie is told from the messages themselves, so nothing is counted. */
class NoUses extends SegmentUses {
  override count(): void {
    // On purpose.
  }
}

/**
 * Everything that the log knows, made from the messages of the stream one after the other and from nothing else, so that
 * every server that has come as far knows the same: sequences, ordinals, times, state, and what retention removed.
 */
export class Fold {
  readonly index: LogIndex;
  readonly puts = new Puts();
  readonly lives = new Lives();
  readonly recent = new RecentMessages();
  /** Sequence in the stream up to which everything is in. */
  last = 0;
  /** The newest message whose time is known, in a group that may not be whole yet; undefined: none since a snapshot. */
  newest: { readonly sequence: number; readonly timeMs: number } | undefined;
  /** Id of the server that says what retention is; empty: nobody does, and what was said last goes on. */
  keeper = "";
  readonly #baseSequence: number;
  readonly #toleratedThrough: number;
  /** Messages of a group that is not whole yet. */
  #parts: { sequence: number; message: GroupMessage }[] = [];
  /** Sequence in the stream of the newest message, in a group that may not be whole yet. */
  #newest = 0;
  /** Who wrote events last. */
  #writer = "";

  /**
   * @param retention until the stream says otherwise.
   * @param baseSequence after which the sequences of events begin.
   * @param toleratedThrough sequence in the stream up to which messages may be missing.
   */
  constructor(retention: RetentionLimits, baseSequence: number, toleratedThrough: number) {
    this.index = new LogIndex(retention, new NoUses());
    this.#baseSequence = baseSequence;
    this.#toleratedThrough = toleratedThrough;
  }

  /** Whether a message follows what was taken. */
  isNext(sequence: number): boolean {
    return sequence === this.#newest + 1;
  }

  /** Goes on after a snapshot. */
  resumeAfter(sequence: number): void {
    this.last = sequence;
    this.#newest = sequence;
  }

  /**
   * Takes the next message. `tell` is called with the block of a group that is whole now, before what retention removes
   * because of it is gone; `tellState`, before that, with the state that it put.
   * @throws StreamGap if messages are missing before it, NewerFormat for one that a newer release wrote.
   */
  take(message: StreamMessage, tell: TellBlock, tellState: TellState = () => undefined): FoldedGroup | undefined {
    this.#note(message);
    if (message.sequence <= this.#newest) return undefined;
    if (message.sequence !== this.#newest + 1 && message.sequence - 1 > this.#toleratedThrough) {
      throw new StreamGap(`messages ${this.#newest + 1} to ${message.sequence - 1} of the stream are missing`);
    }
    const decoded = read(() => decodeMessage(message.payload));
    if (decoded === undefined) {
      this.#skip(message.sequence);
      return undefined;
    }
    // Those of a group follow each other. What is missing, which may be below the tolerated part only, may be the rest of one
    // group and the beginning of another, whose own rest must not count as that of the first.
    if (decoded.index === 1 || message.sequence !== this.#newest + 1) this.#parts = [];
    this.#newest = message.sequence;
    if (decoded.index > 1 && this.#parts.length === 0) {
      this.#skip(message.sequence);
      return undefined;
    }
    this.#parts.push({ sequence: message.sequence, message: decoded });
    if (decoded.index < decoded.of) {
      // What is read is not the stream's memory any more when the rest comes.
      for (const event of decoded.events) (event as { body: Uint8Array }).body = event.body.slice();
      return undefined;
    }
    const parts = this.#parts;
    this.#parts = [];
    const events = parts.length === 1 ? decoded.events : parts.flatMap((part) => part.message.events);
    const head = read(() => decodeHead(concat(parts.map((part) => part.message.head))));
    if (head === undefined || head.appends.reduce((sum, { count }) => sum + count, 0) !== events.length) {
      this.#skip(message.sequence);
      return undefined;
    }
    const folded = this.lives.isOver(head.writer)
      ? { head, results: [] }
      : this.#fold(head, events, parts, message.timeMs, tell, tellState);
    this.last = message.sequence;
    return folded;
  }

  /**
   * Nothing comes up to a sequence any more.
   * @throws StreamGap if something should.
   */
  passOver(through: number): void {
    if (through <= this.#newest) return;
    if (through > this.#toleratedThrough) {
      throw new StreamGap(`messages ${this.#newest + 1} to ${through} of the stream are missing`);
    }
    this.#skip(through);
  }

  /** The sequence in the stream that a row of the index has in short form. */
  streamSequenceOf(segment: number): number {
    return this.last - ((this.last - segment) >>> 0);
  }

  #note({ sequence, timeMs }: StreamMessage): void {
    if (timeMs !== undefined && sequence > (this.newest?.sequence ?? 0)) this.newest = { sequence, timeMs };
  }

  /** A message that is not ours says nothing, to any server. */
  #skip(sequence: number): void {
    this.#parts = [];
    this.#newest = sequence;
    this.last = sequence;
  }

  #fold(
    head: GroupHead,
    events: readonly PendingEvent[],
    parts: readonly { sequence: number; message: GroupMessage }[],
    takenAtMs: number | undefined,
    tell: TellBlock,
    tellState: TellState,
  ): FoldedGroup {
    const { index } = this;
    const at = parts[0]?.sequence as number;
    if (head.lost !== undefined) this.#lose(head.lost);
    if (this.#isSaidByKeeper(head)) {
      if (head.retention !== undefined) index.retention.limits = head.retention;
      if (head.hold !== undefined) index.retention.hold = head.hold === "state" ? this.#stateHold() : head.hold;
    }
    const accepted = this.#accept(head, events, at);
    const group = stageGroup(
      index,
      accepted.appends,
      Math.max(this.#baseSequence, index.head.sequence) + 1,
      head.timeMs === 0 ? (takenAtMs ?? 0) : head.timeMs,
      () => ({ segment: at >>> 0, offset: 0 }),
      head.trimsAll === true,
    );
    const isWhole = accepted.events === undefined;
    if (!isWhole || parts.length > 1) this.#place(group, parts, accepted.events);
    const block = this.#blockOf(group);
    if (block !== undefined) this.#heard(head.writer);
    index.commit(group, group.placement);
    tellState(group.state);
    if (block !== undefined) {
      if (isWhole) this.#keep(block, group.timePrefix.length, parts);
      tell(block);
    }
    index.removal.raise(group.raises);
    const results: (AppendResult | undefined)[] = head.appends.map(() => undefined);
    for (const [i, place] of accepted.places.entries()) results[place] = group.results[i];
    return { head, results };
  }

  /** A writer has events for the first time: what comes from here on no history has that lost this one. */
  #heard(writer: string): void {
    if (writer === this.#writer) return;
    this.#writer = writer;
    const { epochs, head } = this.index;
    if (!epochs.isBegunBy(writer)) epochs.begin(head.sequence, writer);
  }

  /** The appends of a group without those that conflict; `events`: theirs, undefined if that is all. */
  #accept(head: GroupHead, events: readonly PendingEvent[], at: number) {
    const appends: PendingAppend[] = [];
    const places: number[] = [];
    const { writer } = head;
    let keptEvents = 0;
    let from = 0;
    for (const [i, append] of head.appends.entries()) {
      const { count, state, fence } = append;
      const own = count === events.length ? events : events.slice(from, from + count);
      from += count;
      if (state !== undefined || fence !== undefined) {
        if (this.puts.conflict([...(state?.keys() ?? []), ...(fence ?? [])], { ...append, writer })) continue;
        if (state !== undefined) this.puts.note(state.keys(), { at, writer, number: head.number + i });
      }
      keptEvents += count;
      appends.push({ batch: { ...append, events: own }, bytes: 0, resolve: nothing, reject: nothing });
      places.push(i);
    }
    // Those of one append are kept or not as one.
    const isWhole = keptEvents === events.length;
    return { appends, places, events: isWhole ? undefined : new Set(appends.flatMap(({ batch }) => batch.events)) };
  }

  /** Notes for each event in which message it lies, and where among the stored bytes of that. */
  #place(
    group: PreparedGroup,
    parts: readonly { sequence: number; message: GroupMessage }[],
    kept: ReadonlySet<PendingEvent> | undefined,
  ): void {
    let i = 0;
    for (const { sequence, message } of parts) {
      let offset = 0;
      for (const event of message.events) {
        if (kept === undefined || kept.has(event)) {
          const own = group.events.sequences[i++] as number;
          const chunk = this.index.columns.chunkOf(own);
          const row = chunk.rowAfter(own - 1);
          chunk.segments[row] = sequence >>> 0;
          chunk.offsets[row] = offset;
        }
        offset += group.timePrefix.length + event.body.length;
      }
    }
  }

  #blockOf(group: PreparedGroup): EventBlock | undefined {
    if (group.events.length === 0) return undefined;
    const bytes = new Uint8Array(group.storedBytes);
    writeStoredBytes(group, bytes, 0);
    return {
      ...group.events,
      bytes,
      ...boundsOfStoredBytes(group, 0),
      ...jobsOf(group.events),
      subjects: this.index.subjects,
      jobSubjects: this.index.jobSubjects,
    };
  }

  #keep(block: EventBlock, prefixBytes: number, parts: readonly { sequence: number; message: GroupMessage }[]): void {
    let from = 0;
    for (const { sequence, message } of parts) {
      const length = message.events.reduce((sum, { body }) => sum + prefixBytes + body.length, 0);
      if (length > 0) this.recent.add(sequence, block.bytes.subarray(from, from + length));
      from += length;
    }
  }

  #lose(lost: NonNullable<GroupHead["lost"]>): void {
    const through = new Map<ScopeEntry, number>();
    for (const { isJob, id, sequence } of lost) {
      const table = isJob ? this.index.jobs : this.index.workers;
      const entry = id === "" && !isJob ? table.none : table.entryOf(id);
      if (entry !== undefined) through.set(entry, Math.max(sequence, through.get(entry) ?? 0));
    }
    this.index.removal.lose(through);
    this.recent.clear();
  }

  #isSaidByKeeper({ keeper }: GroupHead): boolean {
    if (keeper?.role === "takes") this.keeper = keeper.id;
    if (keeper === undefined || keeper.id !== this.keeper) return false;
    if (keeper.role === "leaves") this.keeper = "";
    return true;
  }

  #stateHold(): number {
    const held = this.index.state.get(holdKey);
    return held === undefined ? Number.POSITIVE_INFINITY : Number(new TextDecoder().decode(held));
  }
}

function nothing(): void {
  // Who waits for an append is told otherwise.
}

/** What bytes say; undefined: they are not ours. @throws NewerFormat */
function read<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof NewerFormat) throw error;
    return undefined;
  }
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0] as Uint8Array;
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
