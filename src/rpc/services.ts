import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { EventStreamService } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobService } from "../../gen/tailrace/v1/job_service_pb.ts";
import { PublishEventsRequestSchema, PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import type { ServiceName } from "../base/services.ts";
import { withRawField } from "../events/raw-schema.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { callKey } from "./call.ts";

/** What the services need of a runtime. */
export type RpcRuntime = Pick<
  Runtime,
  | "cursors"
  | "openWatch"
  | "lookUp"
  | "listEvents"
  | "listWorkers"
  | "getWorker"
  | "getTranscript"
  | "publishEvents"
  | "submitJob"
  | "startJob"
  | "cancelJob"
  | "getJob"
  | "listJobs"
>;

/** Puts these services of a runtime on a router. */
export function addServices(router: ConnectRouter, runtime: RpcRuntime, services: ReadonlySet<ServiceName>): void {
  if (services.has("observe")) addObservation(router, runtime);
  if (services.has("publish")) addPublishing(router, runtime);
  if (services.has("jobs")) addJobs(router, runtime);
}

function addObservation(router: ConnectRouter, runtime: RpcRuntime): void {
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
    getWorker: unary((request) => runtime.lookUp(() => runtime.getWorker(request))),
    getTranscript: unary((request) => runtime.getTranscript(request)),
  });
}

function addPublishing(router: ConnectRouter, runtime: RpcRuntime): void {
  router.service(PublisherService, {
    publishEvents: unary((request, context) => runtime.publishEvents(request, publisherOf(context))),
  });
}

function addJobs(router: ConnectRouter, runtime: RpcRuntime): void {
  router.service(JobService, {
    submitJob: unary((request) => runtime.submitJob(request)),
    startJob: unary((request) => runtime.startJob(request)),
    cancelJob: unary((request) => runtime.cancelJob(request)),
    getJob: unary((request) => runtime.lookUp(() => runtime.getJob(request))),
    listJobs: unary((request) => runtime.listJobs(request)),
  });
}

/**
 * Puts PublishEvents on a router for requests that are known to be binary: Connect decodes them only down to the bytes of
 * each event, which the runtime takes as they are. Decoding and encoding them is most of what publishing costs.
 */
export function addBinaryPublishing(router: ConnectRouter, runtime: RpcRuntime): void {
  const service = withRawField(PublisherService, PublishEventsRequestSchema, "events");
  router.service(service as typeof PublisherService, {
    publishEvents: unary((request, context) => runtime.publishEvents(request, publisherOf(context))),
  });
}

/** Who publishes: a job with the token that its environment has, or anyone. */
function publisherOf({ requestHeader }: HandlerContext): { readonly jobToken?: string } {
  const [, jobToken] = /^Bearer +(tj_\S*)$/i.exec(requestHeader.get("authorization") ?? "") ?? [];
  return jobToken === undefined ? {} : { jobToken };
}

/** Also settles when the caller's deadline passes or the caller leaves: what was begun goes on, nobody waits for it. */
function unary<Request, Response>(
  implementation: (request: Request, context: HandlerContext) => Response | Promise<Response>,
): (request: Request, context: HandlerContext) => Promise<Response> {
  const run = async (request: Request, context: HandlerContext): Promise<Response> => implementation(request, context);
  return (request, context) => {
    const { signal, values } = context;
    values.get(callKey)?.reached();
    return new Promise((resolve, reject) => {
      const left = (): void => reject(signal.reason);
      if (signal.aborted) {
        left();
        return;
      }
      signal.addEventListener("abort", left, { once: true });
      run(request, context)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener("abort", left));
    });
  };
}
