import { Code, ConnectError } from "@connectrpc/connect";
import type { WatchEventsRequest } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import type { Clock, StopTimer } from "../base/clock.ts";
import { type ReportError, toTailraceError } from "../base/incident.ts";
import { readerLeft } from "../base/signals.ts";
import { diagnosticOf } from "../events/diagnostics.ts";
import type { TerminalDiagnostic, WatchSink, WireForm } from "../stream/form.ts";
import type { Watch } from "../stream/watch.ts";
import { sendStreamHead, targetOf } from "../wire/byte-target.ts";
import { ByteWriter } from "../wire/node-writer.ts";
import type { Endings } from "./endings.ts";
import { connectErrorOf } from "./errors.ts";
import type { AnswerHead, HttpResponse } from "./http.ts";
import type { RpcRuntime } from "./services.ts";

export interface WatchStreamOptions {
  readonly runtime: RpcRuntime;
  /** What its watches have in common, so that they can be ended together; undefined: nothing. */
  readonly group: object | undefined;
  readonly endings: Endings;
  readonly clock: Clock;
  readonly stallTimeoutMs: number;
  readonly report: ReportError;
  // biome-ignore lint/suspicious/noExplicitAny: what a form keeps per block is its own matter.
  readonly form: WireForm<any, Uint8Array>;
}

/**
 * A watch after Connect let it through: shared frames straight to the socket, then the end in the words of the protocol.
 * Holds nothing of Connect's pipeline, and everything it holds ends with the socket.
 */
export class WatchStream implements WatchSink<Uint8Array> {
  readonly #options: WatchStreamOptions;
  readonly #response: HttpResponse;
  readonly #contentType: string;
  readonly #writer: ByteWriter;
  readonly #reader = new AbortController();
  readonly #stopDeadline: StopTimer | undefined;
  #watch: Watch | undefined;
  /** Drained before the watch was known. */
  #drained = false;
  #deadlineExceeded = false;
  #ended = false;

  /** Sends the headers that Connect decided on. */
  constructor(options: WatchStreamOptions, response: HttpResponse, head: AnswerHead, timeoutMs: number | undefined) {
    this.#options = options;
    this.#response = response;
    this.#contentType = String(head.headers["content-type"]);
    sendStreamHead(response, head.status, head.headers);
    this.#writer = new ByteWriter({
      target: targetOf(response),
      clock: options.clock,
      stallTimeoutMs: options.stallTimeoutMs,
      onDrain: () => {
        if (this.#watch === undefined) this.#drained = true;
        else this.#watch.resume();
      },
      onGone: () => {
        this.#stopDeadline?.();
        this.#reader.abort(readerLeft);
      },
    });
    if (timeoutMs !== undefined) {
      this.#stopDeadline = options.clock.after(timeoutMs, () => {
        this.#deadlineExceeded = true;
        this.#reader.abort(readerLeft);
        this.#finish(new ConnectError("the operation timed out", Code.DeadlineExceeded));
      });
    }
  }

  /** Opens the watch. A refused one is a diagnostic and the end. Never rejects. */
  async open(request: WatchEventsRequest): Promise<void> {
    const { runtime, form, report, group } = this.#options;
    try {
      const watch = await runtime.openWatch(request, form, this, this.#reader.signal, group);
      if (this.#ended || this.#reader.signal.aborted) return;
      this.#watch = watch;
      if (this.#drained) watch.resume();
    } catch (error) {
      if (this.#ended || this.#reader.signal.aborted) return;
      const diagnostic = diagnosticOf(toTailraceError(error, report));
      this.#writer.write(form.control({ case: "diagnostic", value: diagnostic }));
      this.end(diagnostic);
    }
  }

  get flushed(): boolean {
    return this.#writer.flushed;
  }

  write(frame: Uint8Array): boolean {
    // A watch that was opening when the deadline passed still says that it is open.
    return !this.#ended && this.#writer.write(frame);
  }

  end(terminal: TerminalDiagnostic | undefined): void {
    this.#watch = undefined;
    if (terminal !== undefined) this.#finish(connectErrorOf(terminal));
    else if (!this.#deadlineExceeded) this.#writer.destroy();
  }

  #finish(error: ConnectError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopDeadline?.();
    const { endings, report } = this.#options;
    endings.endOfWatch(this.#contentType, error).then(
      ({ body, trailers }) => {
        if (trailers !== undefined && !this.#response.destroyed) this.#response.addTrailers(trailers);
        if (body.length > 0) this.#writer.write(body);
        this.#writer.end();
      },
      (fault: unknown) => {
        report(fault);
        this.#writer.destroy();
      },
    );
  }
}
