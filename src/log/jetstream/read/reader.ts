import { limits } from "../../../base/limits.ts";
import { unsetBytes } from "../../binary.ts";
import { encodeTime } from "../../commit/time.ts";
import { type Extent, type Layout, pick } from "../../index/extents.ts";
import type { FetchedBytes } from "../../readable-log.ts";
import type { Fold } from "../fold/fold.ts";
import { bodiesOf } from "../stream/messages.ts";
import { streamOf } from "../stream/subjects.ts";
import type { StoredMessage } from "./direct-gets.ts";

/** Messages nobody wants between two wanted ones, that cost less than another question. */
const maxGap = 8;

/** Whom a reader asks for messages of a stream. Null: it is not there. */
export interface MessageSource {
  /** Any server of NATS that has the stream, which may be behind. */
  readonly direct: {
    getMessage(stream: string, question: { readonly seq: number }): Promise<StoredMessage | null>;
    /** The next messages from `seq` on, in order, not always as many as there are. */
    getBatch(
      stream: string,
      question: { readonly seq: number; readonly batch: number },
    ): Promise<readonly StoredMessage[]>;
  };
  /** The leader of the stream. */
  readonly streams: {
    getMessage(stream: string, question: { readonly seq: number }): Promise<StoredMessage | null>;
  };
}

/** A message of which something is wanted. */
interface Wanted {
  readonly sequence: number;
  readonly extents: Extent[];
}

/** The messages that a page needs are not there any more. */
export class MissingMessages extends Error {
  override readonly name = "MissingMessages";
  readonly sequences: readonly number[];

  constructor(sequences: readonly number[]) {
    super(`messages ${sequences.join(", ")} of the stream are not there`);
    this.sequences = sequences;
  }
}

/** Fetches stored bytes from the stream: by the sequences of messages that the index names, never by asking what is there. */
export class Reader {
  readonly #source: MessageSource;
  readonly #stream: string;
  readonly #fold: Fold;
  readonly #assertAvailable: () => void;
  /** Messages in the middle of which a page ended, by sequence, the oldest first: the next page mostly begins with the rest. */
  readonly #begun = new Map<number, Uint8Array>();

  /** @param assertAvailable throws if there is nobody to ask. */
  constructor(source: MessageSource, namespace: string, fold: Fold, assertAvailable: () => void) {
    this.#assertAvailable = assertAvailable;
    this.#source = source;
    this.#stream = streamOf(namespace);
    this.#fold = fold;
  }

  /** @throws MissingMessages, and what the client throws. */
  async fetch(layout: Layout, memory: Uint8Array | undefined): Promise<FetchedBytes> {
    const { totalBytes } = layout;
    const fits = memory !== undefined && totalBytes <= memory.length;
    const bytes = fits ? memory.subarray(0, totalBytes) : unsetBytes(totalBytes);
    const wanted = this.#wanted(layout, bytes);
    const last = wanted.at(-1)?.sequence;
    const runs = runsOf(wanted.filter((message) => !this.#putBegun(message, layout, bytes, last)));
    const missing: number[] = [];
    let next = this.#ask(runs[0]);
    for (let i = 0; i < runs.length; i++) {
      const asked = next;
      // What comes next is on its way while this is read.
      next = this.#ask(runs[i + 1]);
      const messages = await asked;
      await this.#take(runs[i] as readonly Wanted[], messages, layout, bytes, missing, last);
    }
    if (missing.length > 0) throw new MissingMessages(missing);
    return { bytes, starts: layout.starts, ends: layout.ends };
  }

  /** Puts what is known already, and gives the other messages, in order. */
  #wanted(layout: Layout, bytes: Uint8Array): readonly Wanted[] {
    const wanted: Wanted[] = [];
    let last: Wanted | undefined;
    // Rows are in the order of the log, so those of a message are together, and messages in order.
    for (const extent of layout.extents) {
      const sequence = this.#fold.streamSequenceOf(extent.segment);
      const stored = this.#fold.recent.get(sequence);
      if (stored !== undefined) put(layout, extent, stored, bytes);
      else if (sequence === last?.sequence) last.extents.push(extent);
      else {
        last = { sequence, extents: [extent] };
        wanted.push(last);
      }
    }
    return wanted;
  }

  #ask(run: readonly Wanted[] | undefined): Promise<readonly StoredMessage[]> {
    const asked = run === undefined ? Promise.resolve([]) : this.#messages(run);
    // It is waited for only when what was asked before has come.
    asked.catch(() => undefined);
    return asked;
  }

  /** The messages from the first to the last one that is wanted, as far as they are there. */
  async #messages(run: readonly Wanted[]): Promise<readonly StoredMessage[]> {
    this.#assertAvailable();
    const { direct } = this.#source;
    let seq = run[0]?.sequence as number;
    const last = run.at(-1)?.sequence as number;
    if (seq === last) {
      const message = await direct.getMessage(this.#stream, { seq });
      return message === null ? [] : [message];
    }
    let all: readonly StoredMessage[] = [];
    while (seq <= last) {
      // With holes, as many messages reach further than the last one that is wanted.
      const some = await direct.getBatch(this.#stream, { seq, batch: last - seq + 1 });
      const newest = some.at(-1);
      if (newest === undefined) break;
      all = all.length === 0 ? some : [...all, ...some];
      seq = newest.seq + 1;
    }
    return all;
  }

  /** Puts what is wanted of messages. */
  async #take(
    run: readonly Wanted[],
    messages: readonly StoredMessage[],
    layout: Layout,
    bytes: Uint8Array,
    missing: number[],
    last: number | undefined,
  ): Promise<void> {
    let at = 0;
    for (const { sequence, extents } of run) {
      while (at < messages.length && (messages[at] as StoredMessage).seq < sequence) at++;
      let message = messages[at] ?? null;
      if (message?.seq !== sequence) {
        // A replica that is behind says the same as one that knows; the leader knows.
        message = await this.#source.streams.getMessage(this.#stream, { seq: sequence });
      }
      if (message === null) missing.push(sequence);
      else {
        const length = putMessage(layout, extents, message.data, bytes);
        if (sequence === last && (extents.at(-1) as Extent).to < length) this.#begin(sequence, message.data);
      }
    }
  }

  /** Puts what is wanted of a message that an earlier page had a part of; false: it has to be asked for. */
  #putBegun({ sequence, extents }: Wanted, layout: Layout, bytes: Uint8Array, last: number | undefined): boolean {
    const payload = this.#begun.get(sequence);
    if (payload === undefined) return false;
    const length = putMessage(layout, extents, payload, bytes);
    // A page may also end in the message in which it begins.
    if (sequence !== last || (extents.at(-1) as Extent).to >= length) this.#begun.delete(sequence);
    return true;
  }

  #begin(sequence: number, payload: Uint8Array): void {
    this.#begun.set(sequence, payload);
    for (const oldest of this.#begun.keys()) {
      if (this.#begun.size <= limits.natsBegunMessages) return;
      this.#begun.delete(oldest);
    }
  }
}

/** Cuts messages into runs that are near enough to be asked for at once. */
function runsOf(wanted: readonly Wanted[]): readonly (readonly Wanted[])[] {
  const runs: Wanted[][] = [];
  let run: Wanted[] = [];
  for (const message of wanted) {
    const { sequence } = message;
    const first = run[0]?.sequence ?? sequence;
    const before = run.at(-1)?.sequence ?? sequence;
    if (run.length === 0 || sequence - before > maxGap || sequence - first >= limits.natsReadMessages) {
      run = [];
      runs.push(run);
    }
    run.push(message);
  }
  return runs;
}

let lastTime: { readonly timeMs: number; readonly encoded: Uint8Array } | undefined;

/** Messages that came in at the same time are read one after the other. */
function encodedTime(timeMs: number): Uint8Array {
  if (lastTime?.timeMs !== timeMs) lastTime = { timeMs, encoded: encodeTime(timeMs) };
  return lastTime.encoded;
}

/** Returns the stored bytes that the events of the message take. */
function putMessage(layout: Layout, extents: readonly Extent[], payload: Uint8Array, target: Uint8Array): number {
  const [extent] = extents as readonly [Extent];
  // The events of a message all came in at the same time.
  const time = encodedTime(layout.rows.times[extent.firstRow] as number);
  const bodies = bodiesOf(payload);
  let size = 0;
  for (const body of bodies) size += time.length + body.length;
  // Mostly they go where they belong at once.
  const isDirect = extents.length === 1 && extent.isWhole;
  const { from, to } = isDirect ? extent : { from: 0, to: size };
  const stored = isDirect ? target.subarray(extent.at, extent.at + to - from) : new Uint8Array(size);
  let at = 0;
  for (const body of bodies) {
    if (at >= from && at < to) {
      stored.set(time, at - from);
      stored.set(body, at - from + time.length);
    }
    at += time.length + body.length;
  }
  if (!isDirect) for (const one of extents) put(layout, one, stored, target);
  return size;
}

function put(layout: Layout, extent: Extent, stored: Uint8Array, target: Uint8Array): void {
  const piece = stored.subarray(extent.from, extent.to);
  if (extent.isWhole) target.set(piece, extent.at);
  else pick(layout, extent, piece, target);
}
