import type { PendingEvent } from "../../contract.ts";
import { decodeHead, type GroupHead } from "../stream/heads.ts";
import { decodeMessage, type GroupMessage, NewerFormat } from "../stream/messages.ts";

/** A message as the stream has it. */
export interface StreamMessage {
  /** Its sequence in the stream. */
  readonly sequence: number;
  /** When the stream took it, in milliseconds since the epoch; undefined: not known yet of what this server has sent itself. */
  readonly timeMs: number | undefined;
  readonly payload: Uint8Array;
}

/** What a message is known by. */
export interface KnownMessage {
  readonly sequence: number;
  /** When the stream took it; undefined: the tail has not brought it yet. */
  readonly timeMs: number | undefined;
  /** Its first bytes, which say who wrote it and as which of theirs. */
  readonly start: Uint8Array;
}

/** As much as V8 keeps in its own heap. The name of a writer is within it. */
const startBytes = 64;

/** A message that a group came in. */
export interface GroupPart {
  readonly sequence: number;
  readonly message: GroupMessage;
}

/** A group of which every message is there. */
export interface WholeGroup {
  readonly head: GroupHead;
  readonly events: readonly PendingEvent[];
  readonly parts: readonly GroupPart[];
}

/** Messages of the stream are missing that nobody may have removed before everyone had folded them. */
export class StreamGap extends Error {
  override readonly name = "StreamGap";
}

/** Makes groups of the messages of a stream, which come in order, and sees that none is missing. */
export class Assembly {
  /** Sequence in the stream up to which nothing is left of a group that is not whole. */
  through = 0;
  /** The newest message, in a group that may not be whole yet; undefined: none since a snapshot. */
  newest: KnownMessage | undefined;
  readonly #toleratedThrough: number;
  /** Messages of a group that is not whole yet. */
  #parts: GroupPart[] = [];
  /** Sequence in the stream of the newest message, in a group that may not be whole yet. */
  #newest = 0;

  /** @param toleratedThrough sequence in the stream up to which messages may be missing. */
  constructor(toleratedThrough: number) {
    this.#toleratedThrough = toleratedThrough;
  }

  /** Whether a message follows what was taken. */
  isNext(sequence: number): boolean {
    return sequence === this.#newest + 1;
  }

  /** Goes on after a snapshot. */
  resumeAfter(sequence: number): void {
    this.through = sequence;
    this.#newest = sequence;
  }

  /**
   * Takes the next message. Undefined: it was taken before, is not ours, or its group is not whole yet.
   * @throws StreamGap if messages are missing before it, NewerFormat for one that a newer release wrote.
   */
  take(message: StreamMessage): WholeGroup | undefined {
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
    this.through = message.sequence;
    return { head, events, parts };
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

  #note({ sequence, timeMs, payload }: StreamMessage): void {
    const { newest } = this;
    if (newest === undefined || sequence > newest.sequence) {
      this.newest = { sequence, timeMs, start: payload.slice(0, startBytes) };
    } else if (sequence === newest.sequence && newest.timeMs === undefined) this.newest = { ...newest, timeMs };
  }

  /** A message that is not ours says nothing, to any server. */
  #skip(sequence: number): void {
    this.#parts = [];
    this.#newest = sequence;
    this.through = sequence;
  }
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
