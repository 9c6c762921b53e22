import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { EventStreamService } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobService } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { PublisherService } from "../../../gen/tailrace/v1/publisher_service_pb.ts";
import { WorkerService } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import type { Attempt, Expected } from "./attempt.ts";

export const services: readonly DescService[] = [EventStreamService, JobService, PublisherService, WorkerService];
export const methods = services.flatMap((service) => service.methods);
export const unary = methods.filter(({ methodKind }) => methodKind === "unary");

export const { watchEvents } = EventStreamService.method;
/** Those that can be called by GET. */
export const reading = unary.filter(
  ({ idempotency }) => idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS,
);

/** Path of an RPC. */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** A call by POST. */
export function attempt(
  expected: Expected,
  method: DescMethod,
  type: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Attempt {
  return { expected, method: "POST", path: pathOf(method), headers: { "content-type": type, ...headers }, body };
}

/** A message in its envelope. */
export function enveloped(body: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}
