import { create } from "@bufbuild/protobuf";
import { OnExpired, type WatchEventsRequest } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import { GetJobRequestSchema, StartJobRequestSchema } from "../../gen/tailrace/v1/job_service_pb.ts";
import { cursorStart } from "../runtime/requests.ts";
import { simpleSseForm, sseForm } from "../wire/sse.ts";
import { headerOf, splitTarget } from "./http.ts";
import { type Parameter, simpleStreamParameters } from "./parameters.ts";
import { type PathScope, parseWatchQuery } from "./query.ts";
import type { Action, Exchange } from "./route.ts";
import { streamEvents } from "./watch-route.ts";

type Scoped = (id: string) => PathScope;

/** A watch with all its frames. */
export function watch(scopeOf: Scoped): Action {
  return (exchange) =>
    streamEvents(exchange, {
      form: sseForm(exchange.context.runtime),
      request: (lastEventId) => readRequest(exchange, scopeOf(exchange.id), lastEventId),
    });
}

/**
 * The simple stream of a job. It starts a deferred one, for a caller who may submit: "connect, and it runs". Elsewhere it
 * only shows the job.
 */
export function streamJob(exchange: Exchange): Promise<void> {
  const { context, id } = exchange;
  const { runtime } = context;
  return streamEvents(exchange, {
    form: simpleSseForm(runtime),
    request: (lastEventId) => {
      const request = readRequest(exchange, { jobId: id }, lastEventId, simpleStreamParameters);
      // Its reader can say nothing but where it was, and is owed the end of the job wherever that is.
      request.onExpired = OnExpired.CONTINUE_WITH_GAP;
      // A request that is refused for its cursor must start nothing.
      if (request.start.case === "cursor") cursorStart(request.start.value, runtime.cursors, true);
      return request;
    },
    prepare: async () => {
      if (!mayStart(exchange)) return;
      const { job } = await runtime.lookUp(() => runtime.getJob(create(GetJobRequestSchema, { jobId: id })));
      if (job?.deferred) await runtime.startJob(create(StartJobRequestSchema, { jobId: id }));
    },
  });
}

/**
 * Whether the caller may submit: the server serves commands to it, and no page of another origin sent it here, even one that
 * may read. A page can make a browser open a URL without asking anyone, and a browser does so ahead of time by itself, so
 * what is opened like that must change nothing.
 */
function mayStart({ context, request }: Exchange): boolean {
  if (!context.services.has("jobs")) return false;
  const site = headerOf(request, "sec-fetch-site");
  if (site !== undefined && site !== "none" && site !== "same-origin") return false;
  if (headerOf(request, "sec-purpose") !== undefined) return false;
  const origin = headerOf(request, "origin");
  // Older browsers say no more than this.
  if (origin === undefined) return true;
  const authority = headerOf(request, ":authority") ?? headerOf(request, "host") ?? "";
  return origin.toLowerCase().replace(/^https?:\/\//, "") === authority.toLowerCase();
}

function readRequest(
  { context, request }: Exchange,
  scope: PathScope,
  lastEventId: string,
  parameters?: readonly Parameter[],
): WatchEventsRequest {
  const { query } = splitTarget(request);
  return parseWatchQuery({ query, scope, lastEventId, nowMs: context.runtime.timeMs, parameters });
}
