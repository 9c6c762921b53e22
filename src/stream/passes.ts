import type { Clock } from "../base/clock.ts";
import { limits } from "../base/limits.ts";
import type { Position } from "../events/cursor.ts";
import { positionAfter } from "../log/block.ts";
import type { EventLog, PageMemory, ReadPage } from "../log/contract.ts";
import { splitByFrame } from "./channel.ts";
import type { EncodingCache } from "./encodings.ts";
import type { WireForm } from "./form.ts";
import { Pace, type PassSize } from "./pace.ts";
import type { Selection } from "./selection.ts";

/** What a bounded pass over the log gave: at most one frame, and where it leads. */
export type Pass<Frame> = FramePass<Frame> | { readonly kind: "expired" };

export interface FramePass<Frame> {
  readonly kind: "frame";
  readonly frame: Frame | undefined;
  readonly size: number;
  readonly through: Position;
  /** Whether other readers may have the frame, too. */
  readonly shared: boolean;
}

interface Kept {
  readonly pass: Promise<Pass<unknown>>;
  bytes: number;
  /** When it was last asked for. */
  atMs: number;
}

/** Where a pass reads: after `after`, up to `end`, and up to `until` if there is nothing before that. */
interface Range {
  readonly after: number;
  readonly end: number;
  readonly until: number;
}

/** How long a pass is kept for others, in milliseconds. */
const keepMs = 2_000;

/** Bytes to read one pass into: its events, and what lies between them. What needs more gets memory of its own. */
const readBytes = limits.catchUpPassBytes + 128 * 1024;

function pageMemory(): PageMemory {
  const { catchUpPassEvents } = limits;
  return {
    bytes: new Uint8Array(readBytes),
    starts: new Uint32Array(catchUpPassEvents),
    ends: new Uint32Array(catchUpPassEvents),
  };
}

/**
 * Passes over the log for readers that catch up. A pass is read and encoded once for all readers that ask for the same
 * one while it is kept; passes over the whole runtime end at round sequences, so that readers that began at different
 * cursors soon ask for the same ones. Nothing is kept for a reader that is alone: its memory serves again for its next
 * pass, because what a long replay leaves to the collector costs as much as the replay.
 */
export class Passes {
  readonly #log: EventLog;
  readonly #encodings: EncodingCache;
  readonly #clock: Clock;
  /** Least lately asked for first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  readonly #pace: Pace;
  #reads = 0;
  #spare: PageMemory[] = [];

  /** `isLive` says whether watches are live, which passes hold up. */
  constructor(log: EventLog, encodings: EncodingCache, clock: Clock, isLive: () => boolean) {
    this.#log = log;
    this.#pace = new Pace(clock, isLive);
    this.#encodings = encodings;
    this.#clock = clock;
  }

  /** How many passes were read, and not given from what is kept. */
  get reads(): number {
    return this.#reads;
  }

  /** Reads on after `after`, up to `until` at the most. */
  get<Entries, Frame>(
    selection: Selection,
    form: WireForm<Entries, Frame>,
    after: number,
    until: number,
  ): Promise<Pass<Frame>> {
    // What is kept may have left retention since.
    if (after < this.#log.bounds(selection.scope).floor.sequence) return Promise.resolve({ kind: "expired" });
    const size = this.#pace.size(form.name);
    const end = this.#roundEnd(selection, after, until, size);
    const range = { after, end, until };
    const key = `${form.name} ${after} ${end} ${selection.key}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined) {
      kept.atMs = this.#clock.monotonic();
      this.#kept.delete(key);
      this.#kept.set(key, kept);
      return kept.pass as Promise<Pass<Frame>>;
    }
    this.#reads++;
    const shared = selection.catchingUp > 1;
    const pass = this.#read(selection, form, range, size, shared);
    if (!shared) return pass;
    const entry: Kept = { pass, bytes: limits.catchUpPassBytes, atMs: this.#clock.monotonic() };
    this.#kept.set(key, entry);
    this.#bytes += entry.bytes;
    const drop = () => {
      if (this.#kept.get(key) === entry) this.#drop(key, entry);
    };
    pass.then(
      (result) => {
        if (this.#kept.get(key) !== entry) return;
        const bytes = result.kind === "frame" ? result.size : 0;
        this.#bytes += bytes - entry.bytes;
        entry.bytes = bytes;
        if (result.kind === "expired") drop();
      },
      // The reader hears of the failure; the next one tries again.
      drop,
    );
    this.#bound();
    return pass;
  }

  /** Lets go of what nobody asked for lately. */
  expire(): void {
    const oldest = this.#clock.monotonic() - keepMs;
    for (const [key, entry] of this.#kept) {
      if (entry.atMs > oldest) break;
      this.#drop(key, entry);
    }
  }

  /** Lets go of everything. */
  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
    this.#spare = [];
  }

  #roundEnd(selection: Selection, after: number, until: number, { round }: PassSize): number {
    if (selection.scope.kind !== "runtime" || selection.kinds !== undefined) return until;
    return Math.min(until, (Math.floor(after / round) + 1) * round);
  }

  async #read<Entries, Frame>(
    selection: Selection,
    form: WireForm<Entries, Frame>,
    { after, end, until }: Range,
    size: PassSize,
    shared: boolean,
  ): Promise<Pass<Frame>> {
    const memory = this.#spare.pop() ?? pageMemory();
    const read = (to: number) =>
      this.#log.read({
        scope: selection.scope,
        kinds: selection.kinds,
        after,
        until: to,
        maxEvents: size.events,
        maxBytes: size.bytes,
        memory,
      });
    let page = await read(end);
    // A log that begins anew, or was not closed, leaves out up to 2^30 sequences: as many rounds have nothing in them.
    if (end < until && page.kind === "page" && page.block === undefined) page = await read(until);
    const events = page.kind === "page" ? (page.block?.length ?? 0) : 0;
    const make = () => this.#passOf(form, page, shared);
    const pass = events === 0 ? make() : this.#pace.measure(form.name, events, make);
    if (this.#spare.length < limits.spareReadBuffers) this.#spare.push(memory);
    return pass;
  }

  #passOf<Entries, Frame>(form: WireForm<Entries, Frame>, page: ReadPage, shared: boolean): Pass<Frame> {
    if (page.kind === "expired") return { kind: "expired" };
    const { block, through } = page;
    if (block === undefined) return { kind: "frame", frame: undefined, size: 0, through, shared };
    for (const { runs, last } of splitByFrame(form, [{ block, indices: undefined }], this.#encodings, 1)) {
      const afterLast = positionAfter(block, last.index);
      const frame = form.events(runs, afterLast);
      const whole = last.index === block.length - 1;
      this.#encodings.release(block);
      return { kind: "frame", frame, size: form.frameSize(frame), through: whole ? through : afterLast, shared };
    }
    throw new Error("A page has at least one event.");
  }

  #bound(): void {
    for (const [key, entry] of this.#kept) {
      if (this.#bytes <= limits.catchUpCacheBytes) return;
      this.#drop(key, entry);
    }
  }

  #drop(key: string, entry: Kept): void {
    this.#kept.delete(key);
    this.#bytes -= entry.bytes;
  }
}
