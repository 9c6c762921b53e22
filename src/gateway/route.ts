import type { DescMessage } from "@bufbuild/protobuf";
import type { ServiceName } from "../base/services.ts";
import type { GatewayContext } from "./context.ts";
import type { HttpRequest, HttpResponse } from "./http.ts";
import type { Parameter } from "./parameters.ts";

/** A request on its way to its answer. */
export interface Exchange {
  readonly context: GatewayContext;
  /** The routes that this server has. */
  readonly routes: readonly Route[];
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  /** What stands in place of the "{...}" of the path, decoded. */
  readonly id: string;
  /** The query's parameters. @throws TailraceError `invalid_request` for one that the operation does not have, or that comes twice. */
  readonly parameters: () => Map<string, string>;
}

export type Action = (exchange: Exchange) => void | Promise<void>;

/** A JSON Schema (2020-12), as OpenAPI 3.1 has it. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** What an answer other than an error has. */
export interface Answer {
  readonly description: string;
  /** Absent: no body. A message stands for its proto3 JSON. */
  readonly body?: DescMessage | JsonSchema;
  /** Present: the body is an event stream, whose `data:` lines are these messages by the name of their event. "": no name. */
  readonly stream?: Readonly<Record<string, DescMessage>>;
  readonly headers?: readonly Parameter[];
}

/** One method of a route: what it does, and what the OpenAPI document says of it. */
export interface Operation {
  /** Its `operationId`. */
  readonly name: string;
  readonly summary: string;
  /** Served where any of these is. Empty: always. */
  readonly services: readonly ServiceName[];
  readonly query?: readonly Parameter[];
  readonly headers?: readonly Parameter[];
  /** Message that the body is, as proto3 JSON. */
  readonly body?: { readonly message: DescMessage; readonly required: boolean };
  /** By status. Errors are problems, on every route. */
  readonly answers: Readonly<Record<number, Answer>>;
  readonly run: Action;
}

export interface Route {
  /** Path with "{name}" for an id. */
  readonly path: string;
  readonly operations: Readonly<Record<string, Operation>>;
}

/** Whether a route answers HEAD like GET: not where the answer never ends. */
export function answersHead({ operations }: Route): boolean {
  const { GET: get } = operations;
  return get !== undefined && !Object.values(get.answers).some(({ stream }) => stream !== undefined);
}

/** The routes and methods that a server with these services has. */
export function servedRoutes(routes: readonly Route[], services: ReadonlySet<ServiceName>): Route[] {
  const served: Route[] = [];
  for (const { path, operations } of routes) {
    const entries = Object.entries(operations).filter(
      ([, operation]) => operation.services.length === 0 || operation.services.some((name) => services.has(name)),
    );
    if (entries.length > 0) served.push({ path, operations: Object.fromEntries(entries) });
  }
  return served;
}
