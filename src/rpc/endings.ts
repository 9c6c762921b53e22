import { type ConnectError, createConnectRouter, createContextKey, createContextValues } from "@connectrpc/connect";
import {
  createAsyncIterable,
  type UniversalHandler,
  type UniversalServerRequest,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import { EventStreamService } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { JobService } from "../../gen/tailrace/v1/job_service_pb.ts";
import { PublisherService } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import { WorkerService } from "../../gen/tailrace/v1/worker_service_pb.ts";
import { envelope } from "../wire/envelope.ts";
import { type Answer, collect } from "./http.ts";

const errorKey = createContextKey<ConnectError | undefined>(undefined, { description: "error" });

/**
 * Says how calls end. A router of its own, with nothing in it but the end, lets Connect put it in the words of each
 * protocol (status, end-of-stream message or trailers), also long after the pipeline of the call itself was let go of.
 */
export class Endings {
  readonly #handlers = new Map<string, UniversalHandler>();

  constructor() {
    const router = createConnectRouter({
      acceptCompression: [],
      requestGate: ({ values }) => {
        const error = values.get(errorKey);
        if (error !== undefined) throw error;
      },
    });
    router.service(EventStreamService, {
      async *watchEvents() {
        // Its frames were sent already; this is the end of them.
      },
    });
    // All of their methods do but fail at the gate.
    router.service(WorkerService, {});
    router.service(PublisherService, {});
    router.service(JobService, {});
    for (const handler of router.handlers) this.#handlers.set(handler.requestPath, handler);
  }

  /** The whole answer of a call that is refused. */
  async refusal(path: string, request: UniversalServerRequest, error: ConnectError): Promise<Answer> {
    return collect(await this.#handle(path, { ...request, body: createAsyncIterable<Uint8Array>([]) }, error));
  }

  /** What follows the last frame of a watch. `contentType`: of the response. */
  async endOfWatch(contentType: string, error: ConnectError | undefined): Promise<Answer> {
    const path = watchPath;
    const request: UniversalServerRequest = {
      httpVersion: "2",
      method: "POST",
      url: `http://localhost${path}`,
      header: new Headers({ "content-type": contentType }),
      body: emptyRequest(contentType),
      signal: new AbortController().signal,
    };
    return collect(await this.#handle(path, request, error));
  }

  #handle(
    path: string,
    request: UniversalServerRequest,
    error: ConnectError | undefined,
  ): Promise<UniversalServerResponse> {
    const handler = this.#handlers.get(path);
    if (handler === undefined) throw new Error(`no handler for ${path}`);
    const contextValues = createContextValues();
    contextValues.set(errorKey, error);
    return handler({ ...request, contextValues });
  }
}

/** Of WatchEvents. */
export const watchPath = `/${EventStreamService.typeName}/${EventStreamService.method.watchEvents.name}`;

function emptyRequest(contentType: string): AsyncIterable<Uint8Array> {
  return createAsyncIterable([envelope(0, Buffer.from(contentType.includes("json") ? "{}" : ""))]);
}
