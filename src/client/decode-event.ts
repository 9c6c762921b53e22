import { type DescMessage, fromBinary } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type Event, EventSchema } from "../../gen/tailrace/v1/event_pb.ts";

/** Payload fields by number. */
const payloads = new Map<number, { readonly name: string; readonly schema: DescMessage }>();
for (const field of EventSchema.fields) {
  if (field.oneof !== undefined && field.fieldKind === "message") {
    payloads.set(field.number, { name: field.localName, schema: field.message });
  }
}

const lengthDelimited = 2;
const fixed64 = 1;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes events, with about half of what protobuf-es takes for the fields around the payload. It handles events as
 * servers write them: fields in any order, each at most once, one payload of a known kind. Anything else goes to
 * protobuf-es, which is also what tests hold it against.
 */
export class EventDecoder {
  #at = 0;
  #bytes: Uint8Array = new Uint8Array();
  /** Neighbours are often of one worker: its id need not be decoded, nor kept, once per event. */
  #workerBytes: Uint8Array = new Uint8Array();
  #workerId = "";

  decode(bytes: Uint8Array): Event {
    let event: Event | undefined;
    try {
      event = this.#decode(bytes);
    } catch {
      // What is wrong is protobuf-es's to say.
    }
    return event ?? fromBinary(EventSchema, bytes);
  }

  /** Undefined: not as expected. */
  #decode(bytes: Uint8Array): Event | undefined {
    this.#bytes = bytes;
    this.#at = 0;
    let seen = 0;
    const event = {
      $typeName: "tailrace.v1.Event",
      cursor: "",
      sequence: 0n,
      workerSequence: 0n,
      workerId: "",
      jobId: "",
      correlationId: "",
      payload: { case: undefined } as { case: string | undefined; value?: unknown },
    } as Omit<Event, "payload"> & { payload: { case: string | undefined; value?: unknown } };
    while (this.#at < bytes.length) {
      const tag = this.#varint();
      const field = tag >>> 3;
      // A field that comes twice is merged or replaced, by rules of its own.
      const bit = field < 16 ? 1 << field : 1 << 16;
      if (seen & bit) return undefined;
      seen |= bit;
      const type = tag & 7;
      if (type === fixed64) {
        const value = this.#fixed64();
        if (value === undefined) return undefined;
        if (field === 2) event.sequence = value;
        else if (field === 3) event.workerSequence = value;
        else return undefined;
        continue;
      }
      if (type !== lengthDelimited) return undefined;
      const length = this.#varint();
      const start = this.#at;
      const end = start + length;
      if (length < 0 || end > bytes.length) return undefined;
      switch (field) {
        case 1:
          event.cursor = this.#text(start, end);
          break;
        case 4:
        case 5: {
          const time = this.#timestamp(end);
          if (time === undefined) return undefined;
          if (field === 4) event.time = time;
          else event.producerTime = time;
          break;
        }
        case 6:
          event.workerId = this.#worker(start, end);
          break;
        case 7:
          event.jobId = this.#text(start, end);
          break;
        case 8:
          event.correlationId = this.#text(start, end);
          break;
        default: {
          const payload = payloads.get(field);
          if (payload === undefined) return undefined;
          event.payload = { case: payload.name, value: fromBinary(payload.schema, bytes.subarray(start, end)) };
        }
      }
      this.#at = end;
    }
    return event as Event;
  }

  /** At most 4 bytes, which is more than any length that fits into a frame; -1: longer, or cut off. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return -1;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    return -1;
  }

  #fixed64(): bigint | undefined {
    const bytes = this.#bytes;
    const at = this.#at;
    if (at + 8 > bytes.length) return undefined;
    this.#at = at + 8;
    const low = uint32(bytes, at);
    const high = uint32(bytes, at + 4);
    return high < 0x20_0000 ? BigInt(high * 0x1_0000_0000 + low) : (BigInt(high) << 32n) | BigInt(low);
  }

  #timestamp(end: number): Timestamp | undefined {
    let seconds = 0;
    let nanos = 0;
    while (this.#at < end) {
      const tag = this.#bytes[this.#at++];
      // Seconds of any year to come take 5 bytes and more than 28 bits.
      let value = 0;
      let scale = 1;
      for (;;) {
        const byte = this.#bytes[this.#at++];
        if (byte === undefined || scale > 2 ** 35) return undefined;
        value += (byte & 127) * scale;
        if (byte < 128) break;
        scale *= 128;
      }
      if (tag === 0x08 && seconds === 0) seconds = value;
      else if (tag === 0x10 && nanos === 0) nanos = value;
      else return undefined;
    }
    if (this.#at !== end || nanos > 999_999_999) return undefined;
    return { $typeName: "google.protobuf.Timestamp", seconds: BigInt(seconds), nanos };
  }

  #worker(start: number, end: number): string {
    const known = this.#workerBytes;
    const length = end - start;
    let same = known.length === length;
    for (let i = 0; same && i < length; i++) same = known[i] === this.#bytes[start + i];
    if (!same) {
      this.#workerId = this.#text(start, end);
      this.#workerBytes = this.#bytes.slice(start, end);
    }
    return this.#workerId;
  }

  #text(start: number, end: number): string {
    return utf8.decode(this.#bytes.subarray(start, end));
  }
}

function uint32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}
