import { limits } from "../base/limits.ts";
import { type CursorCodec, cursorLength } from "../events/cursor.ts";
import { kindName } from "../events/kinds.ts";
import type { EventBlock } from "../log/block.ts";
import { chunkHeaderBytes, chunkTrailerBytes, frameWithin } from "./chunk.ts";
import { cursorOffset, writeEventJson } from "./event-json.ts";
import { ascii, JsonWriter } from "./json-writer.ts";

/** Bytes of text around what an event has stored, roughly. */
const textBytes = 240;

/** Bytes that a block starts with; they grow as needed. */
const firstCapacity = 16 * 1024;

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

  constructor(cursors: CursorCodec, block: EventBlock) {
    this.length = block.length;
    this.#cursors = cursors;
    this.#block = block;
    this.#stored = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    const storedBytes = (block.ends[block.length - 1] as number) - (block.starts[0] as number);
    const expected = Math.min(limits.maxFrameBytes, Math.ceil(storedBytes * 1.4) + textBytes * block.length);
    this.#writer = new JsonWriter(Math.min(firstCapacity, chunkHeaderBytes + 1024 * block.length), expected);
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
