import { invalidRequest, TailraceError } from "../base/errors.ts";
import { toTailraceError } from "../base/incident.ts";
import type { GatewayContext } from "./context.ts";
import { healthz, readyz } from "./health-routes.ts";
import { type HttpHandler, type HttpRequest, type HttpResponse, splitTarget } from "./http.ts";
import { sendError, sendProblem } from "./problem.ts";
import { watchEvents } from "./watch-route.ts";
import { getWorker, listWorkers } from "./worker-routes.ts";

interface Exchange {
  readonly context: GatewayContext;
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  /** What stands in place of the "{...}" of the path, decoded. */
  readonly id: string;
}

type Action = (exchange: Exchange) => void | Promise<void>;

interface Route {
  readonly segments: readonly string[];
  /** GET answers HEAD too, save where the answer never ends. */
  readonly methods: Readonly<Record<string, Action>>;
  readonly head: boolean;
}

const noSuchJob: Action = ({ response, id }) =>
  sendError(response, new TailraceError("job_not_found", { jobId: id }, `There is no job "${id}".`));

/** Until jobs exist: there is none to list, and no operation that could be one. */
const noJobs: Action = ({ response }) =>
  sendError(response, new TailraceError("job_not_found", { jobId: "" }, "This runtime has no jobs."));

const routes: readonly Route[] = [
  stream("/v1/events", (e) => watchEvents(e.context, e.request, e.response, {})),
  stream("/v1/workers/{worker_id}/events", (e) => watchEvents(e.context, e.request, e.response, { workerId: e.id })),
  stream("/v1/jobs/{job_id}/events", (e) => watchEvents(e.context, e.request, e.response, { jobId: e.id })),
  stream("/v1/jobs/{job_id}/stream", noSuchJob),
  resource("/v1/workers", { GET: (e) => listWorkers(e.context, e.request, e.response) }),
  resource("/v1/workers/{worker_id}", { GET: (e) => getWorker(e.context, e.request, e.response, e.id) }),
  resource("/v1/jobs", { GET: noJobs, POST: noJobs }),
  resource("/v1/jobs/{job_id}", { GET: noSuchJob, DELETE: noSuchJob }),
  resource("/v1/jobs/{job_id}/start", { POST: noSuchJob }),
  resource("/healthz", { GET: (e) => healthz(e.response) }),
  resource("/readyz", { GET: (e) => readyz(e.context, e.response) }),
];

/** The HTTP and SSE routes (docs/protocol.md, "HTTP"). Answers every request; errors are problems (RFC 9457). */
export function createGateway(context: GatewayContext): HttpHandler {
  return (request, response) => {
    answer(context, request, response).catch((error: unknown) => {
      const problem = toTailraceError(error, context.report);
      if (response.headersSent) response.destroy();
      else sendError(response, problem);
    });
  };
}

async function answer(context: GatewayContext, request: HttpRequest, response: HttpResponse): Promise<void> {
  const { path } = splitTarget(request);
  const segments = path.split("/").slice(1);
  const route = routes.find((candidate) => fits(candidate.segments, segments));
  if (route === undefined) {
    sendProblem(response, 404, "There is no such route. Watches are at /v1/events and /v1/workers/{worker_id}/events.");
    return;
  }
  const method = request.method === "HEAD" && route.head ? "GET" : (request.method ?? "");
  const action = Object.hasOwn(route.methods, method) ? route.methods[method] : undefined;
  if (action === undefined) {
    const allow = [...Object.keys(route.methods), ...(route.head && "GET" in route.methods ? ["HEAD"] : [])].join(", ");
    sendProblem(response, 405, `This route takes ${allow}.`, { allow });
    return;
  }
  await action({ context, request, response, id: idOf(route.segments, segments) });
}

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, index) => (part.startsWith("{") ? segments[index] !== "" : part === segments[index]))
  );
}

function idOf(pattern: readonly string[], segments: readonly string[]): string {
  const index = pattern.findIndex((part) => part.startsWith("{"));
  if (index === -1) return "";
  try {
    return decodeURIComponent(segments[index] as string);
  } catch {
    throw invalidRequest((pattern[index] as string).slice(1, -1), "is not percent-encoded UTF-8");
  }
}

function stream(path: string, action: Action): Route {
  return { segments: path.split("/").slice(1), methods: { GET: action }, head: false };
}

function resource(path: string, methods: Route["methods"]): Route {
  return { segments: path.split("/").slice(1), methods, head: true };
}
