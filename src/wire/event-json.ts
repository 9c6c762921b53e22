import { create, fromBinary, toJson } from "@bufbuild/protobuf";
import { type Event, EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { type CursorCodec, cursorLength } from "../events/cursor.ts";
import { isKnownKind } from "../events/kinds.ts";
import type { EventBlock } from "../log/block.ts";
import { ascii, type JsonWriter } from "./json-writer.ts";
import { writeStoredJson } from "./stored-json.ts";

const openCursor = ascii('{"cursor":"');
const openSequence = ascii('","sequence":"');
const openWorkerSequence = ascii('","workerSequence":"');
const quote = 0x22;
const closeObject = 0x7d;

/** Where the cursor's characters are in the JSON of an event. */
export const cursorOffset = openCursor.length;

/**
 * Writes an event as proto3 JSON, the same text as protobuf-es gives. Where JSON can't say the payload (a kind that this
 * release does not know, a time beyond the year 9999), it is left out.
 * @returns whether the payload is there.
 */
export function writeEventJson(
  writer: JsonWriter,
  cursors: CursorCodec,
  block: EventBlock,
  stored: Buffer,
  index: number,
): boolean {
  const begin = writer.at;
  const { sequences, ordinals, workers, workerOrdinals, subjects, kinds, starts, ends } = block;
  const { jobs, jobOrdinals, jobSubjects } = block;
  const sequence = sequences[index] as number;
  const workerOrdinal = workerOrdinals[index] as number;
  const known = isKnownKind(kinds[index] as number);
  writer.put(openCursor);
  writer.reserve(cursorLength);
  const workerHash = subjects.hashOf(workers[index] as number);
  cursors.encodeInto(
    writer.bytes,
    writer.at,
    sequence,
    ordinals[index] as number,
    workerHash,
    workerOrdinal,
    jobSubjects.hashOf(jobs[index] as number),
    jobOrdinals[index] as number,
  );
  writer.at += cursorLength;
  writer.put(openSequence);
  writer.putNumber(sequence);
  if (workerOrdinal !== 0) {
    writer.put(openWorkerSequence);
    writer.putNumber(workerOrdinal);
  }
  writer.putByte(quote);
  if (known && writeStoredJson(writer, stored, starts[index] as number, ends[index] as number)) {
    writer.putByte(closeObject);
    return true;
  }
  const cursor = writer.bytes.toString("latin1", begin + cursorOffset, begin + cursorOffset + cursorLength);
  writer.at = begin;
  const event = decode(stored.subarray(starts[index] as number, ends[index] as number));
  event.cursor = cursor;
  event.sequence = BigInt(sequence);
  event.workerSequence = BigInt(workerOrdinal);
  writer.putText(jsonText(event));
  return event.payload.case !== undefined;
}

function decode(stored: Uint8Array): Event {
  try {
    return fromBinary(EventSchema, stored);
  } catch {
    // Stored by a release with another idea of a field. One such event must not end every watch that comes by.
    return create(EventSchema);
  }
}

/** Takes from the event what proto3 JSON can't say. */
function jsonText(event: Event): string {
  try {
    return JSON.stringify(toJson(EventSchema, event));
  } catch {
    event.payload = { case: undefined };
  }
  try {
    return JSON.stringify(toJson(EventSchema, event));
  } catch {
    delete event.producerTime;
    delete event.time;
    return JSON.stringify(toJson(EventSchema, event));
  }
}
