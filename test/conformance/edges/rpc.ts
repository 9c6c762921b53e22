import type { DescMethodServerStreaming, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { StreamDiagnostic } from "../../../gen/tailrace/v1/diagnostic_pb.ts";
import {
  EventStreamService,
  type WatchEventsResponse,
  WatchEventsResponseSchema,
} from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import type { CallOptions, Edge, EdgeWatch, Ending, Frame, WatchRequest } from "./edge.ts";
import { expectKnown } from "./strict.ts";

/** How a call failed, as its protocol says it. */
export class RpcFailure extends Error {
  override readonly name = "RpcFailure";
  readonly code: string;
  readonly detail: StreamDiagnostic | undefined;

  constructor(code: string, message: string, detail: StreamDiagnostic | undefined) {
    super(`${code}: ${message}`);
    this.code = code;
    this.detail = detail;
  }
}

/** A client of one RPC protocol. Calls throw RpcFailure. */
export interface RpcClient {
  unary<I extends DescMethodUnary>(
    method: I,
    request: MessageInitShape<I["input"]>,
  ): Promise<MessageShape<I["output"]>>;
  stream<I extends DescMethodServerStreaming>(
    method: I,
    request: MessageInitShape<I["input"]>,
    options: CallOptions & { readonly signal: AbortSignal },
  ): AsyncIterable<MessageShape<I["output"]>>;
  /** Lets go of its connections. */
  close(): void;
}

export interface RpcEdge extends Edge {
  client(url: string): RpcClient;
}

/** An edge of an RPC protocol, given its client. */
export function rpcEdge(name: string, client: (url: string) => RpcClient): RpcEdge {
  return {
    name,
    client,
    watch: (url, request, options = {}) => new RpcWatch(client(url), request, options),
  };
}

class RpcWatch implements EdgeWatch {
  readonly ending: Promise<Ending>;
  readonly #left = new AbortController();
  readonly #client: RpcClient;
  readonly #messages: AsyncIterator<WatchEventsResponse>;
  #settle: (ending: Ending) => void = () => undefined;

  constructor(client: RpcClient, request: WatchRequest, options: CallOptions) {
    this.#client = client;
    this.ending = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const { watchEvents } = EventStreamService.method;
    this.#messages = client
      .stream(watchEvents, request, { ...options, signal: this.#left.signal })
      [Symbol.asyncIterator]();
  }

  async next(): Promise<Frame | undefined> {
    try {
      const { value, done } = await this.#messages.next();
      if (done !== true) {
        expectKnown(WatchEventsResponseSchema, value);
        if (value.frame.case === undefined) throw new Error("a message without a frame");
        return value.frame;
      }
      this.#settle({ code: "ok", detail: undefined, status: undefined });
    } catch (error) {
      if (!(error instanceof RpcFailure)) throw error;
      this.#settle({ code: error.code, detail: error.detail, status: undefined });
    }
    this.#client.close();
    return undefined;
  }

  leave(): void {
    this.#left.abort();
    this.#client.close();
  }
}
