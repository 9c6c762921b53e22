import { fromBinary } from "@bufbuild/protobuf";
import { EventKind, type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { type PublishEventsRequest, PublishEventsRequestSchema } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { invalidRequest } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { kindName, runtimeOnlyKinds } from "../events/kinds.ts";
import { EventScanner } from "../events/scan.ts";
import { pendingEvent } from "../events/stored.ts";
import { changesFacts } from "../events/worker-facts.ts";
import type { PendingEvent } from "../log/contract.ts";

/** A PublishEvents request, whose events may be encoded still: `tailrace.v1.NewEvent`. */
export type PublishRequest = Pick<PublishEventsRequest, "producerId" | "firstProducerSequence"> & {
  readonly events: readonly (NewEvent | Uint8Array)[];
};

/** Messages and groups within each other: 100, which readers allow, less the two that an event is in when they read it. */
const maxDepth = 98;

/** A batch that was checked and encoded, on its way into the log. */
export interface PreparedBatch {
  readonly events: readonly PendingEvent[];
  /** The same events as messages, where what they say of their worker matters. */
  readonly facts: readonly { readonly workerId: string; readonly payload: NewEvent["payload"] }[];
  readonly source: EventSource;
}

/**
 * Who says it: someone outside, through PublishEvents, who may not say what the runtime says; code in the process, who may,
 * except the states of jobs; or the runtime itself.
 */
export type EventSource = "outside" | "process" | "runtime";

const scanner = new EventScanner((kind) => !runtimeOnlyKinds.has(kind) && !changesFacts(kind));

/**
 * Checks and encodes events, or takes those that are encoded. @throws TailraceError `invalid_request`.
 */
export function prepareBatch(events: readonly (NewEvent | Uint8Array)[], source: EventSource): PreparedBatch {
  const pending: PendingEvent[] = [];
  const facts: { workerId: string; payload: NewEvent["payload"] }[] = [];
  events.forEach((given, index) => {
    const scanned = given instanceof Uint8Array ? scanner.scan(given) : undefined;
    if (scanned !== undefined) {
      pending.push(scanned);
      return;
    }
    const event = given instanceof Uint8Array ? decodeNewEvent(given, index) : given;
    for (const part of splitOutput(event)) {
      const encoded = pendingEvent(part, index);
      requireSayable(encoded.kind, source, index);
      if (changesFacts(encoded.kind)) {
        if (encoded.workerId === "") throw invalidRequest(`events[${index}].worker_id`, "this kind needs a worker");
        facts.push({ workerId: encoded.workerId, payload: part.payload });
      }
      pending.push(encoded);
    }
  });
  return { events: pending, facts, source };
}

function requireSayable(kind: number, source: EventSource, index: number): void {
  if (source === "runtime" || !runtimeOnlyKinds.has(kind)) return;
  if (source === "process" && kind !== EventKind.JOB_STATE_CHANGED) return;
  const description = "only the runtime itself says this; a worker may report worker_status or worker_ended";
  throw invalidRequest(`events[${index}].${kindName(kind) ?? kind}`, description);
}

/** An event of a request, whose edge would have said the same of it as of the rest of its body. */
export function decodeNewEvent(bytes: Uint8Array, index: number): NewEvent {
  try {
    return fromBinary(NewEventSchema, bytes, { recursionLimit: maxDepth });
  } catch (error) {
    const description = error instanceof Error ? error.message : String(error);
    throw invalidRequest("body", `it is no ${PublishEventsRequestSchema.typeName}: events[${index}]: ${description}`);
  }
}

/** Output that is too large for one event becomes several, with their offsets. */
function splitOutput(event: NewEvent): readonly NewEvent[] {
  const { payload } = event;
  if (payload.case !== "output" || payload.value.data.length <= limits.maxEventBytes / 2) return [event];
  const { data, offset } = payload.value;
  const parts: NewEvent[] = [];
  for (let from = 0; from < data.length; from += limits.maxOutputChunkBytes) {
    const value = {
      ...payload.value,
      data: data.subarray(from, from + limits.maxOutputChunkBytes),
      offset: offset + BigInt(from),
    };
    parts.push({ ...event, payload: { case: "output", value } });
  }
  return parts;
}
