import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  EventStreamService,
  type ListEventsRequest,
  type ListEventsResponse,
  type WatchEventsRequest,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import {
  PublishEventsRequestSchema,
  type PublishEventsResponse,
  PublisherService,
} from "../../gen/tailrace/v1/publisher_service_pb.ts";
import {
  type GetWorkerRequest,
  type GetWorkerResponse,
  type ListWorkersRequest,
  type ListWorkersResponse,
  WorkerService,
} from "../../gen/tailrace/v1/worker_service_pb.ts";
import type { CursorCodec } from "../events/cursor.ts";
import { withRawField } from "../events/raw-schema.ts";
import type { PublishRequest } from "../runtime/publisher.ts";
import type { WatchSink, WireForm } from "../stream/form.ts";
import type { Watch } from "../stream/watch.ts";
import { callKey } from "./call.ts";

/** What the services need of a runtime. */
export interface RpcRuntime {
  readonly cursors: CursorCodec;
  openWatch<Entries, Frame>(
    request: WatchEventsRequest,
    form: WireForm<Entries, Frame>,
    sink: WatchSink<Frame>,
    signal: AbortSignal,
  ): Promise<Watch>;
  listEvents(request: ListEventsRequest): Promise<ListEventsResponse>;
  listWorkers(request: ListWorkersRequest): ListWorkersResponse;
  getWorker(request: GetWorkerRequest): GetWorkerResponse;
  publishEvents(request: PublishRequest): Promise<PublishEventsResponse>;
}

/** Puts the services of a runtime on a router. */
export function addServices(router: ConnectRouter, runtime: RpcRuntime): void {
  router.service(EventStreamService, {
    // biome-ignore lint/correctness/useYield: the frames go past Connect's pipeline, which ends here and is let go of.
    async *watchEvents(request, context) {
      const call = context.values.get(callKey);
      if (call === undefined) throw new Error("WatchEvents was called past the handler that writes its frames");
      call.reached();
      call.watch = { request, timeoutMs: context.timeoutMs() };
    },
    listEvents: unary((request) => runtime.listEvents(request)),
  });
  router.service(WorkerService, {
    listWorkers: unary((request) => runtime.listWorkers(request)),
    getWorker: unary((request) => runtime.getWorker(request)),
  });
  router.service(PublisherService, {
    publishEvents: unary((request) => runtime.publishEvents(request)),
  });
}

/**
 * Puts PublishEvents on a router for requests that are known to be binary: Connect decodes them only down to the bytes of
 * each event, which the runtime takes as they are. Decoding and encoding them is most of what publishing costs.
 */
export function addBinaryPublishing(router: ConnectRouter, runtime: RpcRuntime): void {
  const service = withRawField(PublisherService, PublishEventsRequestSchema, "events");
  router.service(service as typeof PublisherService, {
    publishEvents: unary((request) => runtime.publishEvents(request)),
  });
}

/** Also settles when the caller's deadline passes or the caller leaves: what was begun goes on, nobody waits for it. */
function unary<Request, Response>(
  implementation: (request: Request) => Response | Promise<Response>,
): (request: Request, context: HandlerContext) => Promise<Response> {
  const run = async (request: Request): Promise<Response> => implementation(request);
  return (request, { signal, values }) => {
    values.get(callKey)?.reached();
    return new Promise((resolve, reject) => {
      const left = (): void => reject(signal.reason);
      if (signal.aborted) {
        left();
        return;
      }
      signal.addEventListener("abort", left, { once: true });
      run(request)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener("abort", left));
    });
  };
}
