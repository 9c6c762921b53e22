import { limits } from "../base/limits.ts";
import { type CursorCodec, cursorLength } from "../events/cursor.ts";
import { kindName } from "../events/kinds.ts";
import type { EventBlock } from "../log/block.ts";
import { chunkHeaderBytes, chunkTrailerBytes, frameWithin } from "./chunk.ts";
import { cursorOffset, writeEventJson } from "./event-json.ts";
import { ascii, JsonWriter } from "./json-writer.ts";

/** Bytes that a block starts with if it needs more than `wholeCapacity` in all; they grow as needed. */
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

/**
 * The events of a block as SSE events, each written when it is first wanted. The JSON inside is what a stream of Connect
 * JSON sends, so both forms share one encoding.
 */
export class TextEntries {
  readonly length: number;
  readonly #cursors: CursorCodec;
  readonly #block: EventBlock;
  readonly #stored: Buffer;
  readonly #writer: JsonWriter;
  /** Where an event and the JSON in it begin and end. An end of 0: not written yet. */
  readonly #starts: Uint32Array;
  readonly #jsonStarts: Uint32Array;
  readonly #jsonEnds: Uint32Array;
  readonly #ends: Uint32Array;
  readonly #sizes: TextSizes;
  readonly #storedBytes: number;
  #missing: number;

  constructor(cursors: CursorCodec, block: EventBlock, sizes: TextSizes) {
    this.length = block.length;
    this.#cursors = cursors;
    this.#block = block;
    this.#stored = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    this.#sizes = sizes;
    this.#storedBytes = (block.ends[block.length - 1] as number) - (block.starts[0] as number);
    this.#missing = block.length;
    const expected = chunkHeaderBytes + sizes.expect(block.length, this.#storedBytes) + chunkTrailerBytes;
    const first = expected <= wholeCapacity ? expected : firstCapacity;
    this.#writer = new JsonWriter(first, Math.min(limits.maxFrameBytes, expected));
    this.#writer.at = chunkHeaderBytes;
    this.#starts = new Uint32Array(block.length);
    this.#jsonStarts = new Uint32Array(block.length);
    this.#jsonEnds = new Uint32Array(block.length);
    this.#ends = new Uint32Array(block.length);
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
    if (start !== chunkHeaderBytes || end !== writer.at) return writer.bytes.subarray(start, end);
    writer.reserve(chunkTrailerBytes);
    writer.at += chunkTrailerBytes;
    return frameWithin(writer.bytes, start, end);
  }

  /** Where the SSE event begins in `bytes`. Writes it, unless that was done. */
  start(index: number): number {
    this.#write(index);
    return this.#starts[index] as number;
  }

  end(index: number): number {
    this.#write(index);
    return this.#ends[index] as number;
  }

  jsonStart(index: number): number {
    this.#write(index);
    return this.#jsonStarts[index] as number;
  }

  jsonEnd(index: number): number {
    this.#write(index);
    return this.#jsonEnds[index] as number;
  }

  #write(index: number): void {
    if (this.#ends[index] !== 0) return;
    const writer = this.#writer;
    const start = writer.at;
    const name = nameOf(this.#block.kinds[index] as number);
    writer.put(openEvent);
    writer.put(name);
    writer.put(openData);
    let jsonStart = writer.at;
    const shown = writeEventJson(writer, this.#cursors, this.#block, this.#stored, index);
    if (!shown && name !== unknownName) {
      // Known only once the JSON is there, and rare: write the event again under the other name.
      writer.at = start;
      writer.put(openEvent);
      writer.put(unknownName);
      writer.put(openData);
      jsonStart = writer.at;
      writeEventJson(writer, this.#cursors, this.#block, this.#stored, index);
    }
    this.#jsonStarts[index] = jsonStart;
    this.#jsonEnds[index] = writer.at;
    writer.put(openId);
    writer.reserve(cursorLength + endOfEvent.length);
    const cursorAt = jsonStart + cursorOffset;
    writer.bytes.copyWithin(writer.at, cursorAt, cursorAt + cursorLength);
    writer.at += cursorLength;
    writer.put(endOfEvent);
    this.#starts[index] = start;
    this.#ends[index] = writer.at;
    if (--this.#missing === 0) this.#sizes.learn(this.length, this.#storedBytes, writer.at);
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
