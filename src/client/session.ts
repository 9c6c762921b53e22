import { Code } from "@connectrpc/connect";
import { Severity, type StreamDiagnostic } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import type { WatchEventsRequest, WatchEventsResponse } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import type { Clock, StopTimer } from "../base/clock.ts";
import type { TailraceError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Connection } from "./connection.ts";
import { connectionFailed, errorOfDiagnostic, type Verdict, verdictOf, verdictOfThrown } from "./failures.ts";
import { bookmarkStatus, heartbeatOf, noticeStatus, openedStatus } from "./frames.ts";
import { type CallWatchEvents, callWatchEvents, callWatchEventsBinary } from "./raw-frames.ts";
import { resumeRequest } from "./request.ts";
import { SequenceFilter } from "./sequences.ts";
import { initialWatchState, stepWatch, type WatchCommand, type WatchInput, type WatchSettings } from "./state.ts";
import type { StreamOutcome, WatchStatus } from "./status.ts";

/** Something that was received, in the order of the stream. Its cursor is the position after it; empty: unchanged. */
export type Received =
  | { readonly kind: "events"; readonly events: readonly Event[]; readonly cursor: string; readonly runtimeId: string }
  | { readonly kind: "status"; readonly status: WatchStatus; readonly cursor: string };

/** How a session ended. */
export interface SessionEnd {
  readonly error: TailraceError | undefined;
}

export interface SessionOptions {
  readonly connection: Connection;
  readonly request: WatchEventsRequest;
  readonly settings: WatchSettings;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onReconnecting: (status: Extract<WatchStatus, { kind: "reconnecting" }>) => void;
}

/**
 * The sockets and timers around `stepWatch`: keeps one stream open at a time and what it received, up to
 * `limits.watchReadAheadFrames`, until the consumer takes it. When that is full nothing more is read, and TCP makes the
 * server wait.
 */
export class WatchSession {
  readonly #options: SessionOptions;
  readonly #watchEvents: CallWatchEvents;
  readonly #filter = new SequenceFilter();
  readonly #received: Received[] = [];
  #state = initialWatchState;
  #call: AbortController | undefined;
  #stopTimer: StopTimer | undefined;
  #end: SessionEnd | undefined;
  #opened = false;
  #wakeConsumer: (() => void) | undefined;
  #wakeReader: (() => void) | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { binary, transport } = options.connection;
    this.#watchEvents = binary ? callWatchEventsBinary(transport) : callWatchEvents(transport);
  }

  /** Connects, after a position or where the request says. */
  start(cursor: string | undefined): void {
    this.#input({ kind: "start", cursor });
  }

  /** What was received next; undefined: nothing is there right now. */
  take(): Received | undefined {
    const next = this.#received.shift();
    this.#wakeReader?.();
    return next;
  }

  /** Why nothing more will be received; undefined: more may come. What is there already can still be taken. */
  get end(): SessionEnd | undefined {
    return this.#end;
  }

  /** Settles when there is something to take, or the end. */
  wait(): Promise<void> {
    if (this.#received.length > 0 || this.#end !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wakeConsumer = resolve;
    });
  }

  /** Ends it and drops what was not taken. */
  close(): void {
    this.#received.length = 0;
    this.#input({ kind: "close" });
  }

  #input(input: WatchInput): void {
    const { state, commands } = stepWatch(this.#state, input, this.#options.clock.monotonic(), this.#options.settings);
    this.#state = state;
    for (const command of commands) this.#run(command);
  }

  #run(command: WatchCommand): void {
    switch (command.kind) {
      case "connect":
        void this.#read(command.connection, command.cursor);
        break;
      case "disconnect":
        this.#call?.abort();
        this.#call = undefined;
        this.#wakeReader?.();
        if (command.dead) this.#options.connection.reset?.();
        break;
      case "arm":
        this.#stopTimer?.();
        this.#stopTimer = this.#options.clock.after(command.delayMs, () => {
          this.#stopTimer = undefined;
          this.#input({ kind: "timer", random: this.#options.random() });
        });
        break;
      case "disarm":
        this.#stopTimer?.();
        this.#stopTimer = undefined;
        break;
      case "reconnecting":
        this.#options.onReconnecting(command);
        break;
      case "finish":
        this.#end = { error: command.error };
        this.#options.connection.close?.();
        this.#wakeConsumer?.();
        break;
    }
  }

  /** Reads one stream to its end. Never throws: whatever happens is an input. */
  async #read(connection: number, cursor: string | undefined): Promise<void> {
    const call = new AbortController();
    this.#call = call;
    const { request } = this.#options;
    try {
      const frames = this.#watchEvents(cursor === undefined ? request : resumeRequest(request, cursor), {
        signal: call.signal,
        // A watch has no deadline, also where the transport has one for its calls.
        timeoutMs: 0,
      });
      for await (const frame of frames) {
        if (call.signal.aborted) return;
        if (this.#onFrame(connection, frame)) return;
        if (this.#received.length >= limits.watchReadAheadFrames) await this.#room(connection, call.signal);
      }
      const error = connectionFailed(Code.Unavailable, 1, "the server closed it");
      this.#failed(connection, { kind: "retry", error });
    } catch (error) {
      if (!call.signal.aborted) this.#failed(connection, verdictOfThrown(error));
    }
  }

  async #room(connection: number, signal: AbortSignal): Promise<void> {
    this.#input({ kind: "paused", connection });
    while (this.#received.length >= limits.watchReadAheadFrames && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
    this.#wakeReader = undefined;
    this.#input({ kind: "resumed", connection });
  }

  /** Takes a frame in. True: it was the last one. */
  #onFrame(connection: number, response: WatchEventsResponse): boolean {
    const { frame } = response;
    switch (frame.case) {
      case "opened": {
        const { cursor } = frame.value;
        const resumed = this.#opened;
        this.#opened = true;
        this.#input({ kind: "opened", connection, cursor, heartbeatMs: heartbeatOf(frame.value) });
        this.#push({ kind: "status", status: openedStatus(frame.value, resumed), cursor });
        return false;
      }
      case "events": {
        const { cursor, runtimeId } = frame.value;
        const events = this.#filter.fresh(frame.value);
        this.#input({ kind: "received", connection, cursor, progress: true });
        this.#push({ kind: "events", events, cursor, runtimeId });
        return false;
      }
      case "bookmark": {
        const { cursor } = frame.value;
        this.#input({ kind: "received", connection, cursor, progress: true });
        this.#push({ kind: "status", status: bookmarkStatus(frame.value), cursor });
        return false;
      }
      case "diagnostic":
        return this.#onDiagnostic(connection, frame.value);
      default:
        // A frame of a later release: a sign of life and nothing more.
        this.#input({ kind: "received", connection, cursor: undefined, progress: false });
        return false;
    }
  }

  #onDiagnostic(connection: number, diagnostic: StreamDiagnostic): boolean {
    if (diagnostic.severity !== Severity.TERMINAL) {
      this.#input({ kind: "received", connection, cursor: undefined, progress: false });
      const { reason } = diagnostic;
      // The log has lost the position, so what was seen may come again in another history, under the same sequences.
      if (reason.case === "gap" && reason.value.fromCursor === "") this.#filter.forget();
      const status = noticeStatus(diagnostic);
      if (status !== undefined) this.#push({ kind: "status", status, cursor: "" });
      return false;
    }
    if (diagnostic.reason.case === "streamEnded") {
      const outcome: StreamOutcome = diagnostic.reason.value.end;
      const { cursor } = diagnostic;
      this.#push({ kind: "status", status: { kind: "ended", outcome, cursor }, cursor });
      this.#input({ kind: "ended", connection, error: undefined });
      return true;
    }
    const error = errorOfDiagnostic(diagnostic);
    // A reason of a later release: the code that the call now ends with tells what to do.
    if (error === undefined) return false;
    // Before `opened` the watch has no place yet, and where to begin is the caller's word.
    const comeBack = error.reason === "server_closing" && this.#state.phase === "open" ? diagnostic.cursor : "";
    this.#failed(connection, verdictOf(error), comeBack);
    return true;
  }

  #failed(connection: number, verdict: Verdict, cursor = ""): void {
    if (verdict.kind === "stop") {
      this.#input({ kind: "ended", connection, error: verdict.error });
      return;
    }
    this.#input({
      kind: "failed",
      connection,
      failure: verdict,
      random: this.#options.random(),
      ...(cursor === "" ? {} : { cursor }),
    });
  }

  #push(received: Received): void {
    const newest = this.#received[this.#received.length - 1];
    // Bookmarks that no one looked at say nothing that the newest one does not.
    if (isBookmark(received) && newest !== undefined && isBookmark(newest)) this.#received.pop();
    this.#received.push(received);
    const wake = this.#wakeConsumer;
    this.#wakeConsumer = undefined;
    wake?.();
  }
}

function isBookmark(received: Received): boolean {
  return received.kind === "status" && received.status.kind === "bookmark";
}
