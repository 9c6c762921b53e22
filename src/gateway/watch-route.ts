import type { WatchEventsRequest } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import type { TailraceError } from "../base/errors.ts";
import { toTailraceError } from "../base/incident.ts";
import { origin } from "../events/cursor.ts";
import { diagnosticOf } from "../events/diagnostics.ts";
import type { WireForm } from "../stream/form.ts";
import type { TextEntries } from "../wire/text-entries.ts";
import type { GatewayContext, GatewayRuntime } from "./context.ts";
import { headerOf, sendEmpty } from "./http.ts";
import { retryAfterOf, sendError } from "./problem.ts";
import type { Exchange } from "./route.ts";
import { SseSink } from "./sse-sink.ts";

/** What an event stream shows, and how. */
export interface EventStream {
  readonly form: WireForm<TextEntries, Uint8Array>;
  /** Reads the request. `lastEventId`: the header, empty if there is none. @throws TailraceError. */
  readonly request: (lastEventId: string) => WatchEventsRequest;
  /** What is done before the watch opens. @throws TailraceError: there is no watch then. */
  readonly prepare?: () => Promise<void>;
}

/** Answers with the frames of a watch as an event stream, for as long as the reader stays. */
export async function streamEvents(
  { context, request, response }: Exchange,
  { form, request: readRequest, prepare }: EventStream,
): Promise<void> {
  const { runtime, clock, stallTimeoutMs } = context;
  const lastEventId = headerOf(request, "last-event-id") ?? "";
  const sink = new SseSink({ response, clock, stallTimeoutMs });
  try {
    const watchRequest = readRequest(lastEventId);
    if (watchRequest.start.case === "cursor" && isClosing(context, watchRequest.start.value)) {
      // The one status that stops an EventSource: it has had its last frame.
      sendEmpty(response, 204, { "cache-control": "no-store" });
      return;
    }
    await prepare?.();
    sink.attach(await runtime.openWatch(watchRequest, form, sink, sink.signal, context.group));
  } catch (error) {
    const refusal = toTailraceError(error, context.report);
    if (sink.begun || sink.signal.aborted) sink.end(undefined);
    else if (lastEventId === "") sendError(response, refusal);
    else refuseReconnect(context, form, sink, refusal, lastEventId);
  }
}

/**
 * Refuses an EventSource that reconnects. It can't read a status, and one other than 200 stops it for ever without a
 * word, so it gets the diagnostic as an event. Where coming back may help, its id is the cursor that it came with;
 * else a closing one, so that the next request gets 204.
 */
function refuseReconnect(
  { runtime }: GatewayContext,
  form: EventStream["form"],
  sink: SseSink,
  error: TailraceError,
  lastEventId: string,
): void {
  const returning = retryAfterOf(error) !== undefined;
  const diagnostic = diagnosticOf(error, returning ? ownCursor(runtime, lastEventId) : closingCursor(runtime, error));
  sink.write(form.control({ case: "diagnostic", value: diagnostic }));
  sink.end(diagnostic);
}

/** The cursor itself, if it is one of this runtime. Anything else is never echoed; an EventSource then keeps what it has. */
function ownCursor({ cursors }: GatewayRuntime, cursor: string): string {
  try {
    cursors.decode(cursor);
    return cursor;
  } catch {
    return "";
  }
}

function closingCursor({ cursors }: GatewayRuntime, { cursor }: TailraceError): string {
  return cursor ?? cursors.encode(origin, true);
}

function isClosing({ runtime }: GatewayContext, cursor: string): boolean {
  try {
    return runtime.cursors.decode(cursor).closing;
  } catch {
    // Whoever opens the watch says what is wrong with it.
    return false;
  }
}
