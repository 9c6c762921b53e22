import type { DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import type { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
import { EventStreamService, type ListEventsRequestSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { type PublishEventsRequestSchema, PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { type GetWorkerRequestSchema, WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { TailraceError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import type { FaultyLog } from "./faulty-log.ts";
import type { RefusalReason } from "./reasons.ts";
import { secretOfTheHost } from "./refusals.ts";
import { setLimit } from "./set-limit.ts";
import { Stage } from "./stage.ts";
import { idsOf, publishBatch, publishIds, type World } from "./world.ts";

/** A call with one answer that is refused. */
export interface RefusedCall {
  readonly name: string;
  readonly reason: RefusalReason;
  readonly details?: object;
  readonly method: DescMethodUnary;
  readonly request: (world: World, log: FaultyLog) => Promise<object> | object;
}

type Publish = MessageInitShape<typeof PublishEventsRequestSchema>;
type List = MessageInitShape<typeof ListEventsRequestSchema>;
type Get = MessageInitShape<typeof GetWorkerRequestSchema>;

interface Row<Request> {
  readonly name: string;
  readonly reason: RefusalReason;
  readonly details?: object;
  readonly request: Request | ((world: World, log: FaultyLog) => Promise<Request> | Request);
}

function rows<Request extends object>(method: DescMethodUnary, table: readonly Row<Request>[]): RefusedCall[] {
  return table.map(({ request, name, ...row }) => ({
    ...row,
    name: `${method.name}: ${name}`,
    method,
    request: typeof request === "function" ? request : () => request,
  }));
}

const output = { case: "output", value: { data: new Uint8Array(3) } } as const;
const event = { workerId: "w", payload: output };

function batch(producerId: string, first: bigint, count: number): Publish {
  return { producerId, firstProducerSequence: first, events: Array.from({ length: count }, () => event) };
}

async function published(world: World, request: Publish): Promise<void> {
  const { create } = await import("@bufbuild/protobuf");
  await world.runtime.publishEvents(create(PublisherService.method.publishEvents.input, request));
}

const publishing = rows<Publish>(PublisherService.method.publishEvents, [
  { name: "nothing", reason: "invalidRequest", details: { field: "events" }, request: {} },
  {
    name: "too many events",
    reason: "invalidRequest",
    details: { field: "events" },
    request: () => ({ events: Array.from({ length: limits.maxPublishEvents + 1 }, () => ({ workerId: "w" })) }),
  },
  {
    name: "an event without payload",
    reason: "invalidRequest",
    details: { field: "events[1].payload" },
    request: { events: [event, { workerId: "w" }] },
  },
  {
    name: "an event that is too large",
    reason: "invalidRequest",
    request: {
      events: [
        {
          workerId: "w",
          payload: { case: "custom", value: { type: "t", data: new Uint8Array(limits.maxEventBytes) } },
        },
      ],
    },
  },
  {
    name: "an id that is too long",
    reason: "invalidRequest",
    details: { field: "events[0].correlation_id" },
    request: { events: [{ ...event, correlationId: "c".repeat(257) }] },
  },
  {
    name: "what only the runtime says",
    reason: "invalidRequest",
    details: { field: "events[0].runtime_stopped" },
    request: { events: [{ payload: { case: "runtimeStopped", value: {} } }] },
  },
  {
    name: "a producer that does not count",
    reason: "invalidRequest",
    details: { field: "first_producer_sequence" },
    request: batch("p", 0n, 1),
  },
  {
    name: "an event of a job",
    reason: "jobNotFound",
    details: { jobId: "j" },
    request: { events: [{ ...event, jobId: "j" }] },
  },
  {
    name: "an event of a job that has ended",
    reason: "jobEnded",
    details: { state: "JOB_STATE_SUCCEEDED" },
    request: async ({ runtime }) => {
      const job = await new Stage(runtime).submit();
      await job.succeed();
      // The stream of the job ends with it.
      for await (const _ of runtime.watch({ jobId: job.id }));
      return { events: [event, { ...event, jobId: job.id }] };
    },
  },
  { name: "a forgotten producer", reason: "producerUnknown", details: { producerId: "p" }, request: batch("p", 5n, 1) },
  {
    name: "a gap in a producer's numbers",
    reason: "producerConflict",
    details: { expectedProducerSequence: "3" },
    request: async (world) => {
      await published(world, batch("p", 1n, 2));
      return batch("p", 4n, 1);
    },
  },
  {
    name: "other contents under the same numbers",
    reason: "producerConflict",
    details: { expectedProducerSequence: "3" },
    request: async (world) => {
      await published(world, batch("p", 1n, 2));
      return batch("p", 1n, 1);
    },
  },
  {
    name: "a worker too many",
    reason: "limitExceeded",
    request: async ({ runtime }) => {
      await publishIds(runtime, "one", ["1"]);
      setLimit("maxWorkers", 1);
      return { events: [event] };
    },
  },
  {
    name: "a log that can't be written",
    reason: "logUnavailable",
    request: (_, log) => {
      const details = { sinceMs: 1_700_000_000_000, retryAfterMs: 1_000 };
      const cause = new Error(secretOfTheHost);
      log.appendFault = new TailraceError("log_unavailable", details, "The log can't be written.", { cause });
      return { events: [event] };
    },
  },
  {
    name: "a fault of the server",
    reason: "internal",
    request: (_, log) => {
      log.appendFault = new Error(`cannot write ${secretOfTheHost}`);
      return { events: [event] };
    },
  },
  {
    name: "a server that closes",
    reason: "serverClosing",
    request: ({ runtime }) => {
      runtime.beginClosing(2_000);
      return { events: [event] };
    },
  },
]);

const listing = rows<List>(EventStreamService.method.listEvents, [
  {
    name: "a page too large",
    reason: "invalidRequest",
    details: { field: "page_size" },
    request: { pageSize: limits.maxPageEvents + 1 },
  },
  {
    name: "a kind that nobody knows",
    reason: "invalidRequest",
    details: { field: "kinds[0]" },
    request: { kinds: [7 as EventKind] },
  },
  { name: "a cursor that is none", reason: "cursorMalformed", request: { start: { case: "cursor", value: "x" } } },
  { name: "an end that is no cursor", reason: "cursorMalformed", request: { untilCursor: "x" } },
  {
    name: "a worker that does not exist",
    reason: "workerNotFound",
    details: { workerId: "w" },
    request: { workerIds: ["w"] },
  },
  { name: "a job", reason: "jobNotFound", details: { jobId: "j" }, request: { jobId: "j" } },
  {
    name: "a cursor that retention left behind",
    reason: "cursorExpired",
    details: { lostEvents: "9", lostExact: true },
    request: async ({ runtime }) => {
      const { cursor } = await publishIds(runtime, "w", ["1"]);
      await publishBatch(runtime, "w", idsOf("more", 12));
      return { workerIds: ["w"], start: { case: "cursor", value: cursor } };
    },
  },
  {
    name: "a fault of the server",
    reason: "internal",
    request: (_, log) => {
      log.readFault = new Error(`cannot read ${secretOfTheHost}`);
      return {};
    },
  },
]);

const workers = rows<Get>(WorkerService.method.getWorker, [
  {
    name: "a worker that does not exist",
    reason: "workerNotFound",
    details: { workerId: "w" },
    request: { workerId: "w" },
  },
  { name: "no id", reason: "invalidRequest", details: { field: "worker_id" }, request: {} },
]);

/** Refused calls with one answer, each with its row of the diagnostics table. */
export const refusedCalls: readonly RefusedCall[] = [
  ...publishing,
  ...listing,
  ...workers,
  ...rows(WorkerService.method.listWorkers, [
    {
      name: "a page too large",
      reason: "invalidRequest",
      details: { field: "page_size" },
      request: { pageSize: limits.maxWorkerPage + 1 },
    },
    {
      name: "a page token that is none",
      reason: "invalidRequest",
      details: { field: "page_token" },
      request: { pageToken: "??" },
    },
  ]),
];
