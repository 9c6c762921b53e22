import type { RetentionLimits } from "../../../base/limits.ts";
import { type EventBlock, jobsOf } from "../../block.ts";
import type { PendingAppend } from "../../commit/pending.ts";
import { boundsOfStoredBytes, type PreparedGroup, stageGroup, writeStoredBytes } from "../../commit/stage.ts";
import { type AppendResult, holdKey, type PendingEvent } from "../../contract.ts";
import { LogIndex } from "../../index/log-index.ts";
import type { ScopeEntry } from "../../index/scope-entry.ts";
import { SegmentUses } from "../../index/segment-uses.ts";
import type { GroupHead } from "../stream/heads.ts";
import { Assembly, type GroupPart, type StreamMessage, type WholeGroup } from "./assembly.ts";
import { BlockMemory } from "./block-memory.ts";
import { Lives } from "./lives.ts";
import { Puts } from "./puts.ts";
import { RecentMessages } from "./recent.ts";

/** A group that was folded. */
export interface FoldedGroup {
  readonly head: GroupHead;
  /**
   * Where its appends went; undefined: another writer had put what this one put or depends on, or its server goes on in
   * another life, so nothing was committed.
   */
  readonly results: readonly (AppendResult | undefined)[];
}

/** `unread`: nobody reads the bytes of the block any more. */
type TellBlock = (block: EventBlock, unread: () => void) => void;
type TellState = (puts: ReadonlyMap<string, Uint8Array | null>) => void;

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
  /** Id of the server that says what retention is; empty: nobody does, and what was said last goes on. */
  keeper = "";
  readonly #baseSequence: number;
  readonly #assembly: Assembly;
  readonly #memory = new BlockMemory();
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
    this.#assembly = new Assembly(toleratedThrough);
  }

  /** The newest message, in a group that may not be whole yet; undefined: none since a snapshot. */
  get newest(): Assembly["newest"] {
    return this.#assembly.newest;
  }

  /** Whether a message follows what was taken. */
  isNext(sequence: number): boolean {
    return this.#assembly.isNext(sequence);
  }

  /** Goes on after a snapshot. */
  resumeAfter(sequence: number): void {
    this.#assembly.resumeAfter(sequence);
    this.last = sequence;
  }

  /**
   * Takes the next message. `tell` is called with the block of a group that is whole now, before what retention removes
   * because of it is gone; `tellState`, before that, with the state that it put.
   * @throws StreamGap if messages are missing before it, NewerFormat for one that a newer release wrote.
   */
  take(message: StreamMessage, tell: TellBlock, tellState: TellState = () => undefined): FoldedGroup | undefined {
    const group = this.#assembly.take(message);
    let folded: FoldedGroup | undefined;
    if (group !== undefined) {
      const { head } = group;
      folded = this.lives.isOver(head.writer)
        ? { head, results: [] }
        : this.#fold(group, message.timeMs, tell, tellState);
    }
    this.last = this.#assembly.through;
    return folded;
  }

  /**
   * Nothing comes up to a sequence any more.
   * @throws StreamGap if something should.
   */
  passOver(through: number): void {
    this.#assembly.passOver(through);
    this.last = this.#assembly.through;
  }

  /** The sequence in the stream that a row of the index has in short form. */
  streamSequenceOf(segment: number): number {
    return this.last - ((this.last - segment) >>> 0);
  }

  #fold(
    { head, events, parts }: WholeGroup,
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
      tell(block, () => this.#memory.giveBack(block.bytes));
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
  #place(group: PreparedGroup, parts: readonly GroupPart[], kept: ReadonlySet<PendingEvent> | undefined): void {
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
    const bytes = this.#memory.take(group.storedBytes);
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

  #keep(block: EventBlock, prefixBytes: number, parts: readonly GroupPart[]): void {
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
