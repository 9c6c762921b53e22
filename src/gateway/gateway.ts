import { invalidRequest } from "../base/errors.ts";
import { toTailraceError } from "../base/incident.ts";
import { bodyType, hasBodyType, isReadable, unreadEncoding } from "./body.ts";
import type { GatewayContext } from "./context.ts";
import { type HttpHandler, type HttpRequest, type HttpResponse, splitTarget } from "./http.ts";
import { sendError, sendProblem } from "./problem.ts";
import { readParameters } from "./query.ts";
import { answersHead, type Route, servedRoutes } from "./route.ts";
import { routes } from "./routes.ts";

/** A route as requests find it. */
interface ServedRoute extends Route {
  readonly segments: readonly string[];
  /** Whether HEAD is answered like GET. */
  readonly head: boolean;
}

/** The HTTP and SSE routes (docs/protocol.md, "HTTP"). Answers every request; errors are problems (RFC 9457). */
export function createGateway(context: GatewayContext): HttpHandler {
  const gateway = new Gateway(context);
  return (request, response) => {
    gateway.answer(request, response).catch((error: unknown) => {
      const problem = toTailraceError(error, context.report);
      if (response.headersSent) response.destroy();
      else sendError(response, problem);
      // What was not read of the request would keep the connection, or the stream's window, from going on.
      if (!request.readableEnded) request.resume();
    });
  };
}

class Gateway {
  readonly #context: GatewayContext;
  readonly #routes: readonly ServedRoute[];

  constructor(context: GatewayContext) {
    this.#context = context;
    this.#routes = servedRoutes(routes, context.services).map((route) => ({
      ...route,
      segments: route.path.split("/").slice(1),
      head: answersHead(route),
    }));
  }

  async answer(request: HttpRequest, response: HttpResponse): Promise<void> {
    const { path, query } = splitTarget(request);
    const segments = path.split("/").slice(1);
    const route = this.#routes.find((candidate) => fits(candidate.segments, segments));
    if (route === undefined) {
      request.resume();
      sendProblem(response, 404, "There is no such route on this server. /openapi.json says which there are.");
      return;
    }
    const { operations } = route;
    const method = request.method === "HEAD" && route.head ? "GET" : (request.method ?? "");
    const operation = Object.hasOwn(operations, method) ? operations[method] : undefined;
    if (operation === undefined) {
      request.resume();
      const allow = [...Object.keys(operations), ...(route.head ? ["HEAD"] : [])].join(", ");
      sendProblem(response, 405, `This route takes ${allow}.`, { allow });
      return;
    }
    if (operation.body !== undefined && !hasBodyType(request)) {
      request.resume();
      sendProblem(response, 415, `The content type must be ${bodyType}.`, { "accept-post": bodyType });
      return;
    }
    if (operation.body !== undefined && !isReadable(request)) {
      request.resume();
      sendError(response, unreadEncoding, { "accept-encoding": "identity" }, 415);
      return;
    }
    await operation.run({
      context: this.#context,
      routes: this.#routes,
      request,
      response,
      id: idOf(route.segments, segments),
      parameters: () => readParameters(query, operation.query ?? []),
    });
  }
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
