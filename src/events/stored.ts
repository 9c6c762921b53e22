import { fromBinary } from "@bufbuild/protobuf";
import { type Event, EventSchema, type NewEvent } from "../../gen/tailrace/v1/event_pb.ts";
import { invalidRequest, TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { EventBlock } from "../log/block.ts";
import type { PendingEvent } from "../log/contract.ts";
import type { CursorCodec } from "./cursor.ts";
import { encodeNewEvent } from "./encode.ts";
import { kindByCase } from "./kinds.ts";

/** Fields of `Event` that only the runtime assigns: 1 to 4. */
const lastAssignedField = 4;
/** Payloads have field numbers from here up. */
const firstPayloadField = 16;
/** Bytes that `time` takes in front of a body at the most: two tags, a length, seconds and nanoseconds. */
export const maxTimeFieldBytes = 20;

/**
 * An event as the log takes it. `index`: its place in the request, for error messages.
 * @throws TailraceError `invalid_request` if it has no payload or more than one, says what only the runtime assigns, or
 *   is too large.
 */
export function pendingEvent(event: NewEvent, index?: number): PendingEvent {
  const kind = payloadField(event, index);
  checkId(event.workerId, "worker_id", index);
  checkId(event.jobId, "job_id", index);
  checkId(event.correlationId, "correlation_id", index);
  const { payload } = event;
  if ((payload.case === "output" || payload.case === "custom") && payload.value.data.length > limits.maxEventBytes) {
    throw tooLarge(index);
  }
  if (payload.case === "custom" && payload.value.type === "") {
    throw invalidRequest(pathOf("custom.type", index), "a custom event needs the name of its type");
  }
  const body = encodeBody(event, index);
  if (body.length + maxTimeFieldBytes > limits.maxEventBytes) throw tooLarge(index);
  return { workerId: event.workerId, jobId: event.jobId, kind, body };
}

/** The events [`from`, `to`) of a block as messages of their own: changing one changes nothing else. */
export function decodeEvents(block: EventBlock, cursors: CursorCodec, from = 0, to = block.length): Event[] {
  const events = new Array<Event>(Math.max(0, to - from));
  for (let i = from; i < to; i++) events[i - from] = decodeEvent(block, cursors, i);
  return events;
}

/** Event `index` of a block as a message. */
export function decodeEvent(block: EventBlock, cursors: CursorCodec, index: number): Event {
  // A copy: protobuf-es lets `bytes` fields be views of what it reads, and the block is shared.
  const stored = block.bytes.slice(block.starts[index] as number, block.ends[index] as number);
  const event = fromBinary(EventSchema, stored);
  const sequence = block.sequences[index] as number;
  const workerOrdinal = block.workerOrdinals[index] as number;
  event.sequence = BigInt(sequence);
  event.workerSequence = BigInt(workerOrdinal);
  event.cursor = cursors.encode({
    sequence,
    ordinal: block.ordinals[index] as number,
    workerHash: block.subjects.hashOf(block.workers[index] as number),
    workerOrdinal,
    jobHash: block.jobSubjects.hashOf(block.jobs[index] as number),
    jobOrdinal: block.jobOrdinals[index] as number,
  });
  return event;
}

/** Field number of the payload, which may be of a kind that this release does not know. */
function payloadField(event: NewEvent, index: number | undefined): number {
  let found = event.payload.case === undefined ? undefined : kindByCase.get(event.payload.case);
  if (event.$unknown !== undefined) {
    for (const { no } of event.$unknown) {
      if (no <= lastAssignedField) {
        throw invalidRequest(pathOf(`#${no}`, index), "fields 1 to 4 are assigned by the runtime; leave them out");
      }
      if (no < firstPayloadField || no === found) continue;
      if (found !== undefined) throw invalidRequest(pathOf("payload", index), "an event has exactly one payload");
      found = no;
    }
  }
  if (found === undefined) {
    throw invalidRequest(pathOf("payload", index), "an event needs a payload, for example output, narration or custom");
  }
  return found;
}

function encodeBody(event: NewEvent, index: number | undefined): Uint8Array {
  try {
    return encodeNewEvent(event);
  } catch (error) {
    // protobuf-es names the field and what is wrong with its value.
    const description = error instanceof Error ? error.message : String(error);
    throw new TailraceError(
      "invalid_request",
      { field: pathOf("payload", index), description },
      `${pathOf("payload", index)}: ${description}`,
      { cause: error },
    );
  }
}

function checkId(id: string, field: string, index: number | undefined): void {
  // Encoded it would be another id, under which nobody finds it who asks for this one.
  if (!id.isWellFormed()) throw invalidRequest(pathOf(field, index), "it is no well-formed text");
  if (id.length * 3 <= limits.maxIdBytes) return;
  if (id.length > limits.maxIdBytes || new TextEncoder().encode(id).length > limits.maxIdBytes) {
    throw invalidRequest(pathOf(field, index), `an id has at most ${limits.maxIdBytes} bytes`);
  }
}

function tooLarge(index: number | undefined): TailraceError<"invalid_request"> {
  const field = index === undefined ? "event" : `events[${index}]`;
  return invalidRequest(
    field,
    `an event has at most ${limits.maxEventBytes} bytes as stored; split it into several events`,
  );
}

function pathOf(field: string, index: number | undefined): string {
  return index === undefined ? field : `events[${index}].${field}`;
}
