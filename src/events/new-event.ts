import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";

/**
 * The message of an event that code wants to publish: what `create` of protobuf-es makes. Output, which is most of what
 * runtimes publish, is put together here where it is given in its plain form: `create` takes longer than writing it.
 */
export function newEventOf(init: MessageInitShape<typeof NewEventSchema>): NewEvent {
  return plainOutput(init) ?? create(NewEventSchema, init);
}

function plainOutput(init: MessageInitShape<typeof NewEventSchema>): NewEvent | undefined {
  const { payload, workerId = "", jobId = "", correlationId = "" } = init;
  if (payload?.case !== "output" || "$typeName" in init || init.producerTime !== undefined) return undefined;
  if (typeof workerId !== "string" || typeof jobId !== "string" || typeof correlationId !== "string") return undefined;
  const chunk = payload.value;
  if (typeof chunk !== "object" || chunk === null || "$typeName" in chunk) return undefined;
  const { stream = 0, data, offset = 0n } = chunk;
  if (!(data instanceof Uint8Array) || typeof stream !== "number" || typeof offset !== "bigint") return undefined;
  return {
    $typeName: "tailrace.v1.NewEvent",
    workerId,
    jobId,
    correlationId,
    payload: { case: "output", value: { $typeName: "tailrace.v1.OutputChunk", stream, data, offset } },
  };
}
