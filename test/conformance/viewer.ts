import { onTestFinished } from "vitest";
import { Severity, type StreamDiagnostic } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import type { Event } from "../../gen/tailrace/v1/event_pb.ts";
import type { CallOptions, Edge, EdgeWatch, Ending, Frame, WatchRequest } from "./edges/edge.ts";
import { FrameRules } from "./frame-rules.ts";

/** The reason of a diagnostic by its key in proto3 JSON ("cursorExpired"). */
export type ReasonKey = NonNullable<StreamDiagnostic["reason"]["case"]>;

/** A frame of one case. */
type FrameOf<Case extends Frame["case"]> = Extract<Frame, { case: Case }>["value"];

/**
 * A watch as a test reads it: at its own speed, with every frame held against the rules of the protocol. The connection
 * is broken at the latest when the test ends.
 */
export class Viewer {
  /** Events that were read, in order. */
  readonly events: Event[] = [];
  /** Diagnostics that were read, in order. */
  readonly diagnostics: StreamDiagnostic[] = [];
  /** Frames that were read, by case, in order. */
  readonly cases: Frame["case"][] = [];
  /** Newest position to come back with. */
  cursor = "";
  readonly #watch: EdgeWatch;
  readonly #rules: FrameRules;

  constructor(watch: EdgeWatch, request: WatchRequest) {
    this.#watch = watch;
    this.#rules = new FrameRules(request);
    onTestFinished(() => watch.leave());
  }

  /** The next frame; undefined at the end. */
  async next(): Promise<Frame | undefined> {
    const frame = await this.#watch.next();
    if (frame === undefined) return undefined;
    this.#rules.take(frame);
    this.cases.push(frame.case);
    if (frame.case === "events") this.events.push(...frame.value.events);
    if (frame.case === "diagnostic") this.diagnostics.push(frame.value);
    if (frame.value.cursor !== "") this.cursor = frame.value.cursor;
    return frame;
  }

  /** Reads on to the next frame of a case. @throws at the end. */
  async find<Case extends Frame["case"]>(wanted: Case): Promise<FrameOf<Case>> {
    for (;;) {
      const frame = await this.next();
      if (frame === undefined) throw new Error(`ended before ${wanted}: ${await this.#story()}`);
      if (frame.case === wanted) return frame.value as FrameOf<Case>;
    }
  }

  /** Reads on to the next diagnostic of a reason. @throws at the end. */
  async diagnostic(reason: ReasonKey): Promise<StreamDiagnostic> {
    for (;;) {
      const diagnostic = await this.find("diagnostic");
      if (diagnostic.reason.case === reason) return diagnostic;
    }
  }

  /** Reads on until this many events were read in all. @throws at the end. */
  async until(count: number): Promise<readonly Event[]> {
    while (this.events.length < count) await this.find("events");
    return this.events;
  }

  /** Reads on until the watch is live. */
  async live(): Promise<this> {
    await this.diagnostic("caughtUp");
    return this;
  }

  /** Reads to the end of the stream; how it ended. */
  async end(): Promise<Ending> {
    while ((await this.next()) !== undefined);
    return this.#watch.ending;
  }

  /** Breaks the connection. */
  leave(): void {
    this.#watch.leave();
  }

  /** Correlation ids of the events that were read: what tests publish them under. */
  get ids(): string[] {
    return this.events.map((event) => event.correlationId).filter((id) => id !== "");
  }

  /** The terminal diagnostic; undefined: there was none. */
  get terminal(): StreamDiagnostic | undefined {
    return this.diagnostics.find(({ severity }) => severity === Severity.TERMINAL);
  }

  async #story(): Promise<string> {
    const { code, status } = await this.#watch.ending;
    return `${this.cases.join(" ")} (${code ?? status}) ${this.terminal?.message ?? ""}`;
  }
}

/** Opens a watch over an edge. */
export function view(edge: Edge, url: string, request: WatchRequest = {}, options: CallOptions = {}): Viewer {
  return new Viewer(edge.watch(url, request, options), request);
}

/** Opens a watch as an EventSource that reconnects. */
export function reconnect(edge: Edge, url: string, lastEventId: string, request: WatchRequest = {}): Viewer {
  return view(edge, url, request, { headers: { "last-event-id": lastEventId } });
}

/** The request for what follows a cursor. */
export function resumeFrom(cursor: string, request: WatchRequest = {}): WatchRequest {
  return { ...request, start: { case: "cursor", value: cursor } };
}
