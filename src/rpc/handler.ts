import {
  Code,
  ConnectError,
  type ConnectRouterOptions,
  createConnectRouter,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { WatchEventsRequest } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { TailraceError } from "../base/errors.ts";
import type { ReportError } from "../base/incident.ts";
import { limits } from "../base/limits.ts";
import { type ServiceName, serviceNames } from "../base/services.ts";
import { diagnosticOf } from "../events/diagnostics.ts";
import { createForms } from "../wire/forms.ts";
import { Call, callKey } from "./call.ts";
import { Endings, watchPath } from "./endings.ts";
import { connectErrorWith, toConnectError } from "./errors.ts";
import {
  type Answer,
  type AnswerHead,
  collect,
  type HttpRequest,
  type HttpResponse,
  pathOf,
  sendAnswer,
  toNodeHeaders,
  toUniversalRequest,
} from "./http.ts";
import { errorAnswer, httpFault } from "./http-answers.ts";
import { bodyFrom, KnownRequests, plainRequest, readSmallBody } from "./known-requests.ts";
import { findProtocolFault, type ProtocolFault } from "./protocol-faults.ts";
import { findDecodeFault } from "./request-faults.ts";
import { addBinaryPublishing, addServices, type RpcRuntime } from "./services.ts";
import { WatchStream, type WatchStreamOptions } from "./watch-stream.ts";

export interface RpcHandlerOptions {
  readonly runtime: RpcRuntime;
  /** What is served of it. Default: everything. */
  readonly services?: ReadonlySet<ServiceName>;
  /** What its watches have in common, so that they can be ended together. Default: nothing. */
  readonly group?: object;
  /** Takes faults of the server, with the incident id that the client was told. */
  readonly report: ReportError;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Milliseconds after which a reader that takes nothing with bytes pending is cut off. Default: 2 minutes. */
  readonly stallTimeoutMs?: number;
  /**
   * See requests before the services do. What they do to responses reaches all but the frames of WatchEvents: its
   * response is over for them when the stream begins. With any, binary publishing costs more: requests are decoded for
   * them in whole.
   */
  readonly interceptors?: readonly Interceptor[];
}

/** Answers an RPC. `refusal`: why it is refused before anything looks at it; clients hear it as any other error. */
export type RpcHandlerFunction = (request: HttpRequest, response: HttpResponse, refusal?: TailraceError) => void;

/** Answers RPCs of Connect, gRPC and gRPC-Web, over HTTP/1.1 and HTTP/2. What has no such path gets 404. Never throws. */
export function createRpcHandler(options: RpcHandlerOptions): RpcHandlerFunction {
  const handler = new RpcHandler(options);
  return (request, response, refusal) => {
    handler.handle(request, response, refusal).catch((error: unknown) => {
      options.report(error);
      response.destroy();
    });
  };
}

class RpcHandler {
  readonly #report: ReportError;
  readonly #endings = new Endings();
  readonly #protobufStreams: WatchStreamOptions;
  readonly #jsonStreams: WatchStreamOptions;
  /** Absent where somebody wants to see every request. */
  readonly #known: KnownRequests | undefined;
  readonly #handlers = new Map<string, UniversalHandler>();
  /** For requests that are not JSON, in place of those above. */
  readonly #binaryHandlers = new Map<string, UniversalHandler>();

  constructor(options: RpcHandlerOptions) {
    const { runtime, report, clock = systemClock, stallTimeoutMs, interceptors = [] } = options;
    const services = options.services ?? new Set(serviceNames);
    this.#report = report;
    this.#known = interceptors.length > 0 ? undefined : new KnownRequests();
    const forms = createForms(runtime.cursors);
    const streams = {
      runtime,
      group: options.group,
      report,
      clock,
      endings: this.#endings,
      stallTimeoutMs: stallTimeoutMs ?? limits.stallTimeoutMs,
    };
    this.#protobufStreams = { ...streams, form: forms.protobuf };
    this.#jsonStreams = { ...streams, form: forms.json };
    const typedErrors: Interceptor = (next) => async (request) => {
      try {
        return await next(request);
      } catch (error) {
        throw toConnectError(error, report);
      }
    };
    const routing: ConnectRouterOptions = {
      // Frames are shared by all readers: compressing them for each would cost more than everything else together.
      acceptCompression: [],
      // The size of requests is bounded by `Call`, which says which limit was met.
      // A misspelt scope would watch everything.
      jsonOptions: { ignoreUnknownFields: false },
      interceptors: [typedErrors, ...interceptors],
    };
    const router = createConnectRouter(routing);
    addServices(router, runtime, services);
    for (const handler of router.handlers) this.#handlers.set(handler.requestPath, handler);
    // They would meet a message whose events are bytes.
    if (interceptors.length > 0 || !services.has("publish")) return;
    const binaryRouter = createConnectRouter(routing);
    addBinaryPublishing(binaryRouter, runtime);
    for (const handler of binaryRouter.handlers) this.#binaryHandlers.set(handler.requestPath, handler);
  }

  async handle(request: HttpRequest, response: HttpResponse, refusal: TailraceError | undefined): Promise<void> {
    const path = pathOf(request);
    const json = /json/i.test(request.headers["content-type"] ?? "");
    const handler = (json ? undefined : this.#binaryHandlers.get(path)) ?? this.#handlers.get(path);
    if (handler === undefined) {
      sendAnswer(request, response, httpFault(request, 404, []));
      return;
    }
    const known = path === watchPath && refusal === undefined ? this.#known?.headFor(request) : undefined;
    const read = known === undefined ? undefined : await readSmallBody(request);
    if (known !== undefined) {
      if (read === undefined) return;
      const plain = read.complete ? plainRequest(read.bytes, json) : undefined;
      if (plain !== undefined) {
        await this.#watch(response, known, plain, undefined);
        return;
      }
    }
    const call = new Call();
    const contextValues = createContextValues();
    contextValues.set(callKey, call);
    const caller = new AbortController();
    // In Connect's words, so that nobody takes it for a fault of ours.
    const left = (): void => caller.abort(new ConnectError("the caller has left", Code.Canceled));
    response.once("close", left);
    const body = read === undefined ? undefined : bodyFrom(read, request);
    const universal = toUniversalRequest(request, call, caller.signal, contextValues, body);
    const { allowedMethods } = handler;
    const send = (answer: Answer): void => sendAnswer(request, response, withBody(request, answer, allowedMethods));
    call.announce(Number(request.headers["content-length"] ?? 0));
    const refused = call.overflow ?? refusal;
    if (refused !== undefined) {
      send(await this.#refusal(path, universal, toConnectError(refused, this.#report)));
      return;
    }
    const protocolFault = allowedMethods.includes(universal.method) ? findProtocolFault(request) : undefined;
    if (protocolFault !== undefined) {
      send(await this.#protocolRefusal(path, universal, protocolFault));
      return;
    }
    const answer = await handler(universal);
    if (call.watch !== undefined) {
      response.off("close", left);
      const head = { status: answer.status, headers: toNodeHeaders(answer.header) };
      this.#known?.learn(request, head);
      await this.#watch(response, head, call.watch.request, call.watch.timeoutMs);
      return;
    }
    const fault = call.overflow ?? decodeFault(handler, universal, answer, call);
    const whole =
      fault === undefined
        ? await collect(answer)
        : await this.#refusal(path, universal, toConnectError(fault, this.#report));
    // Every response is closed in the end, and to abort costs more than the rest of a small call.
    response.off("close", left);
    send(whole);
  }

  /** Connect's pipeline ended when the implementation returned; what it wrote about that is not sent. */
  async #watch(
    response: HttpResponse,
    head: AnswerHead,
    request: WatchEventsRequest,
    timeoutMs: number | undefined,
  ): Promise<void> {
    if (response.destroyed) return;
    const json = String(head.headers["content-type"]).includes("json");
    const options = json ? this.#jsonStreams : this.#protobufStreams;
    await new WatchStream(options, response, head, timeoutMs).open(request);
  }

  #refusal(path: string, request: UniversalServerRequest, error: ConnectError): Promise<Answer> {
    return this.#endings.refusal(path, request, error);
  }

  async #protocolRefusal(
    path: string,
    request: UniversalServerRequest,
    { error, code, status, headers }: ProtocolFault,
  ): Promise<Answer> {
    const said = connectErrorWith(code, diagnosticOf(error));
    if (status !== undefined) return errorAnswer(status, said, headers);
    const answer = await this.#refusal(path, request, said);
    return { ...answer, headers: { ...answer.headers, ...headers } };
  }
}

/** The answer itself or, where Connect says nothing but a status of HTTP, one that also says why. */
function withBody(request: HttpRequest, answer: Answer, allow: readonly string[]): Answer {
  const { status, body } = answer;
  if (body.length > 0 || (status !== 405 && status !== 415)) return answer;
  return httpFault(request, status, allow);
}

/** What is wrong with a request that no implementation has seen, if its contents are. */
function decodeFault(
  { method }: UniversalHandler,
  request: UniversalServerRequest,
  { status }: UniversalServerResponse,
  call: Call,
): TailraceError | undefined {
  const body = call.unseenBody;
  // A GET has no body, and its query is at fault with these only: Connect takes bytes that it can't decode for its own fault.
  if (body === undefined || (request.method === "GET" && status !== 400 && status !== 500)) return undefined;
  return findDecodeFault(method.input, request, body);
}
