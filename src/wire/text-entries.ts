import { limits } from "../base/limits.ts";
import { type CursorCodec, cursorLength } from "../events/cursor.ts";
import { kindName } from "../events/kinds.ts";
import type { EventBlock } from "../log/block.ts";
import { chunkHeaderBytes, chunkTrailerBytes, frameWithin, ownMemory } from "./chunk.ts";
import { cursorOffset, writeEventJson } from "./event-json.ts";
import { ascii, JsonWriter } from "./json-writer.ts";
import { giveMemory } from "./spare-memory.ts";

/** Bytes that a block of which not all is wanted starts with if it needs more than `wholeCapacity` in all; they grow as needed. */
const firstCapacity = 16 * 1024;
/** Up to here a block has all its bytes at once: what it grows out of is left to the collector. */
const wholeCapacity = 64 * 1024;

/** Bytes of text per byte stored: what most are, in base64. */
const textPerByte = 4 / 3;

/** How many bytes blocks take as text, learnt from those that were written. */
export class TextSizes {
  /** Bytes of text around what an event has stored. */
  #around = 320;

  /** Bytes that some events will take, rather too many than too few. */
  expect(events: number, storedBytes: number): number {
    return Math.ceil(storedBytes * textPerByte + this.#around * events);
  }

  learn(events: number, storedBytes: number, textBytes: number): void {
    const around = (textBytes - storedBytes * textPerByte) / events + spareBytes;
    // Up at once, down slowly: blocks of few kinds must not make those of all kinds grow.
    this.#around = Math.max(around, this.#around - (this.#around - around) / 16);
  }
}

/** Bytes per event that the next block may need more than the last one. */
const spareBytes = 16;

const openData = ascii("\ndata: ");
/** Bytes of "data: ", which stands before the JSON of every event. */
export const dataFieldBytes = openData.length - 1;
const openId = ascii("\nid: ");
const endOfEvent = ascii("\n\n");
const unknownName = ascii("unknown");
const openEvent = ascii("event: ");

/** Names of kinds, as SSE has them. */
const names: Uint8Array[] = [];

/** Where the events of a block lie in its text: a number for each of them. */
export interface TextColumns {
  /** Where the event begins. */
  readonly starts: Uint32Array;
  /** Where the JSON in it begins. */
  readonly jsonStarts: Uint32Array;
  /** Where it ends. 0: not written yet. */
  readonly ends: Uint32Array;
}

/** Bytes of an event behind its JSON. */
const tailBytes = openId.length + cursorLength + endOfEvent.length;

/**
 * The events of a block as SSE events, each written when it is first wanted. The JSON inside is what a stream of Connect
 * JSON sends, so both forms share one encoding.
 */
export class TextEntries {
  readonly block: EventBlock;
  readonly columns: TextColumns;
  readonly #cursors: CursorCodec;
  readonly #stored: Buffer;
  readonly #writer: JsonWriter;
  readonly #sizes: TextSizes;
  readonly #storedBytes: number;
  #missing: number;
  /** Frames that lie in the text itself: the first, and how many there are. */
  #frame: Uint8Array | undefined;
  #frames = 0;

  /** `whole`: all events will be wanted. `columns` have room for them, and ends of 0. */
  constructor(cursors: CursorCodec, block: EventBlock, sizes: TextSizes, columns: TextColumns, whole: boolean) {
    this.block = block;
    this.columns = columns;
    this.#cursors = cursors;
    this.#stored = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    this.#sizes = sizes;
    this.#storedBytes = (block.ends[block.length - 1] as number) - (block.starts[0] as number);
    this.#missing = block.length;
    const expected = chunkHeaderBytes + sizes.expect(block.length, this.#storedBytes) + chunkTrailerBytes;
    const first = whole || expected <= wholeCapacity ? Math.min(limits.maxFrameBytes, expected) : firstCapacity;
    this.#writer = new JsonWriter(first, Math.min(limits.maxFrameBytes, expected));
    this.#writer.at = chunkHeaderBytes;
  }

  /** Where the events are. Replaced as they grow, so ask again after anything was written. */
  get bytes(): Buffer {
    return this.#writer.bytes;
  }

  /**
   * The events from `start` to `end` in `bytes` as a frame. If they are all that was written, they become a chunk where
   * they lie, and the next event is written behind that.
   */
  frame(start: number, end: number): Uint8Array {
    const writer = this.#writer;
    const isAll = start === chunkHeaderBytes && end === writer.at;
    if (isAll) {
      writer.reserve(chunkTrailerBytes);
      writer.at += chunkTrailerBytes;
    }
    const frame = isAll ? frameWithin(writer.bytes, start, end) : writer.bytes.subarray(start, end);
    this.#frame ??= frame;
    this.#frames++;
    return frame;
  }

  /**
   * Nothing is written or asked for any more. The text becomes that of others once nobody reads the frame that lies in it,
   * or now, if there is none. With several it is not known who reads the last one.
   */
  release(): void {
    const { bytes } = this.#writer;
    if (this.#frames === 0) giveMemory(bytes);
    else if (this.#frames === 1 && this.#frame?.buffer === bytes.buffer) ownMemory(this.#frame, bytes);
  }

  /** Where the SSE event begins in `bytes`. Writes it, unless that was done. */
  start(index: number): number {
    this.#write(index);
    return this.columns.starts[index] as number;
  }

  end(index: number): number {
    this.#write(index);
    return this.columns.ends[index] as number;
  }

  jsonStart(index: number): number {
    this.#write(index);
    return this.columns.jsonStarts[index] as number;
  }

  jsonEnd(index: number): number {
    this.#write(index);
    return (this.columns.ends[index] as number) - tailBytes;
  }

  #write(index: number): void {
    const { starts, jsonStarts, ends } = this.columns;
    if (ends[index] !== 0) return;
    const writer = this.#writer;
    const start = writer.at;
    const name = nameOf(this.block.kinds[index] as number);
    writer.put(openEvent);
    writer.put(name);
    writer.put(openData);
    let jsonStart = writer.at;
    const shown = writeEventJson(writer, this.#cursors, this.block, this.#stored, index);
    if (!shown && name !== unknownName) {
      // Known only once the JSON is there, and rare: write the event again under the other name.
      writer.at = start;
      writer.put(openEvent);
      writer.put(unknownName);
      writer.put(openData);
      jsonStart = writer.at;
      writeEventJson(writer, this.#cursors, this.block, this.#stored, index);
    }
    jsonStarts[index] = jsonStart;
    writer.put(openId);
    writer.reserve(cursorLength + endOfEvent.length);
    const cursorAt = jsonStart + cursorOffset;
    writer.bytes.copyWithin(writer.at, cursorAt, cursorAt + cursorLength);
    writer.at += cursorLength;
    writer.put(endOfEvent);
    starts[index] = start;
    ends[index] = writer.at;
    if (--this.#missing === 0) this.#sizes.learn(this.block.length, this.#storedBytes, writer.at);
  }
}

function nameOf(kind: number): Uint8Array {
  let name = names[kind];
  if (name === undefined) {
    const text = kindName(kind);
    if (text === undefined) return unknownName;
    name = ascii(text);
    names[kind] = name;
  }
  return name;
}
