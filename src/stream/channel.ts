import { limits } from "../base/limits.ts";
import type { Position } from "../events/cursor.ts";
import { positionAfter } from "../log/block.ts";
import type { EncodingCache } from "./encodings.ts";
import type { EventRun, WireForm } from "./form.ts";
import type { Match, Selection } from "./selection.ts";

/** A frame of events and the positions that it leads from and to. */
export interface FrameRecord<Frame> {
  readonly frame: Frame;
  readonly size: number;
  /** Everything that the selection wants up to here was in earlier frames. */
  readonly before: Position;
  readonly through: Position;
}

/** Hears of new frames. */
export interface ChannelMember {
  pump(): void;
  /** Frames whose bytes its sink may still read: from the first of these numbers to before the second. */
  readonly readsFrom: number;
  readonly readsBefore: number;
}

/** How a reader at some position gets into a channel. */
export type Entry =
  /** The next frame to write is `number`. */
  | { readonly kind: "at"; readonly number: number }
  /** First it must read the log up to this sequence: there is a seam between two frames. */
  | { readonly kind: "behind"; readonly until: number };

/**
 * The recent frames of one selection in one form, shared by all watches of it. Together they hold every wanted event
 * after `base`. A member is a number in the row of frames; nothing is queued for it.
 */
export class Channel<Entries, Frame> {
  readonly selection: Selection;
  readonly form: WireForm<Entries, Frame>;
  readonly members = new Set<ChannelMember>();
  #frames: FrameRecord<Frame>[] = [];
  /** Number of the oldest frame that is kept. */
  #first = 0;
  #bytes = 0;
  #base: Position;
  /** Members who left may still read the bytes of frames before this one. */
  #readBefore = 0;

  constructor(selection: Selection, form: WireForm<Entries, Frame>, base: Position) {
    this.selection = selection;
    this.form = form;
    this.#base = base;
  }

  /** Number of the oldest frame that is kept, and of the one that comes next. */
  get first(): number {
    return this.#first;
  }

  get end(): number {
    return this.#first + this.#frames.length;
  }

  /** A frame that is kept. */
  at(number: number): FrameRecord<Frame> {
    return this.#frames[number - this.#first] as FrameRecord<Frame>;
  }

  /** Finds where a reader that has everything up to `sequence` goes on. */
  enter(sequence: number): Entry {
    if (sequence < this.#base.sequence) return { kind: "behind", until: this.#base.sequence };
    let low = 0;
    let high = this.#frames.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#frames[middle] as FrameRecord<Frame>).through.sequence > sequence) high = middle;
      else low = middle + 1;
    }
    const frame = this.#frames[low];
    if (frame !== undefined && frame.before.sequence < sequence) {
      return { kind: "behind", until: frame.through.sequence };
    }
    return { kind: "at", number: this.#first + low };
  }

  /** Makes frames of what matched between the positions `before` and `head`, and keeps the newest `capacity` bytes. */
  append(
    matches: readonly Match[],
    encodings: EncodingCache,
    before: Position,
    head: Position,
    capacity: number,
  ): void {
    const { end } = this;
    let from = before;
    for (const { runs, last } of splitByFrame(this.form, matches, encodings)) {
      const through = positionAfter(last.block, last.index);
      const frame = this.form.events(runs, through);
      const record = { frame, size: this.form.frameSize(frame) + recordBytes, before: from, through };
      from = through;
      this.#frames.push(record);
      this.#bytes += record.size;
    }
    const newest = this.#frames.at(-1);
    // The last frame leads up to the head, so that a reader that was shown the events between two matches is at a seam.
    if (newest !== undefined && matches.length > 0) {
      this.#frames[this.#frames.length - 1] = { ...newest, through: head };
    }
    // The encodings of blocks lie in the frames that were made now.
    this.#trim(capacity, end);
  }

  leave(member: ChannelMember): void {
    this.members.delete(member);
    this.#readBefore = Math.max(this.#readBefore, member.readsBefore);
  }

  #trim(capacity: number, reusableBefore: number): void {
    let drop = 0;
    while (this.#bytes > capacity && drop < this.#frames.length - 1) {
      this.#bytes -= (this.#frames[drop] as FrameRecord<Frame>).size;
      drop++;
    }
    if (drop === 0) return;
    this.#reuse(Math.min(this.#first + drop, reusableBefore));
    this.#frames = this.#frames.slice(drop);
    this.#first += drop;
    this.#base = (this.#frames[0] as FrameRecord<Frame>).before;
  }

  /** Gives the memory of the frames before one to others, unless somebody may still read it. */
  #reuse(before: number): void {
    if (this.form.reuse === undefined) return;
    let to = before;
    for (const { readsFrom, readsBefore } of this.members) if (readsBefore > this.#first) to = Math.min(to, readsFrom);
    for (let number = Math.max(this.#first, this.#readBefore); number < to; number++) {
      this.form.reuse(this.at(number).frame);
    }
  }
}

/** Bytes that a frame takes beside its own, roughly: its record, its buffer, and what a form or an edge keeps with it. */
const recordBytes = 768;

interface FramePart<Entries> {
  readonly runs: EventRun<Entries>[];
  readonly last: { readonly block: Match["block"]; readonly index: number };
}

/**
 * Cuts matches into runs that fit into a frame, `most` frames at the most. An event is never larger than a frame
 * (limits.maxEventBytes).
 */
export function splitByFrame<Entries, Frame>(
  form: WireForm<Entries, Frame>,
  matches: readonly Match[],
  encodings: EncodingCache,
  most = Number.POSITIVE_INFINITY,
): FramePart<Entries>[] {
  const parts: FramePart<Entries>[] = [];
  let runs: EventRun<Entries>[] = [];
  let bytes = 0;
  // Two variables, because an object per event would be most of what a replay leaves to the collector.
  let lastBlock: Match["block"] | undefined;
  let lastIndex = 0;
  for (const { block, indices } of matches) {
    const entries = encodings.get(form, block, indices === undefined);
    const count = indices === undefined ? block.length : indices.length;
    let begin = 0;
    for (let i = 0; i < count; i++) {
      const index = indices === undefined ? i : (indices[i] as number);
      const size = form.entrySize(entries, index);
      if (bytes + size > framePayloadBytes && lastBlock !== undefined) {
        if (i > begin) runs.push(run(entries, indices, begin, i));
        parts.push({ runs, last: { block: lastBlock, index: lastIndex } });
        if (parts.length === most) return parts;
        runs = [];
        bytes = 0;
        begin = i;
      }
      bytes += size;
      lastBlock = block;
      lastIndex = index;
    }
    if (count > begin) runs.push(run(entries, indices, begin, count));
  }
  if (lastBlock !== undefined && runs.length > 0) parts.push({ runs, last: { block: lastBlock, index: lastIndex } });
  return parts;
}

/** What is left for events in a frame, next to its header and cursor. */
const framePayloadBytes = limits.maxFrameBytes - 1024;

function run<Entries>(
  entries: Entries,
  indices: readonly number[] | undefined,
  begin: number,
  end: number,
): EventRun<Entries> {
  return indices === undefined
    ? { entries, from: begin, to: end }
    : { entries, from: 0, to: 0, indices: begin === 0 && end === indices.length ? indices : indices.slice(begin, end) };
}
