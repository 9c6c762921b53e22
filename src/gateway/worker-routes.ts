import { create, toJson } from "@bufbuild/protobuf";
import {
  GetWorkerRequestSchema,
  GetWorkerResponseSchema,
  ListWorkersRequestSchema,
  ListWorkersResponseSchema,
} from "../../gen/tailrace/v1/worker_service_pb.ts";
import type { GatewayContext } from "./context.ts";
import { type HttpRequest, type HttpResponse, headerOf, sendEmpty, sendJson, splitTarget } from "./http.ts";
import { readParameters, wholeNumber } from "./query.ts";

/** Answers with a page of workers. */
export function listWorkers({ runtime }: GatewayContext, request: HttpRequest, response: HttpResponse): void {
  const parameters = readParameters(splitTarget(request).query, ["page_size", "page_token"]);
  const pageSize = parameters.get("page_size");
  const answer = runtime.listWorkers(
    create(ListWorkersRequestSchema, {
      pageSize: pageSize === undefined ? 0 : wholeNumber("page_size", pageSize),
      pageToken: parameters.get("page_token") ?? "",
    }),
  );
  sendProjection(request, response, answer, () => toJson(ListWorkersResponseSchema, answer));
}

/** Answers with one worker. */
export function getWorker(
  { runtime }: GatewayContext,
  request: HttpRequest,
  response: HttpResponse,
  workerId: string,
): void {
  readParameters(splitTarget(request).query, []);
  const answer = runtime.getWorker(create(GetWorkerRequestSchema, { workerId }));
  sendProjection(request, response, answer, () => toJson(GetWorkerResponseSchema, answer));
}

/** The cursor goes along in both cases, so that a caller that polls can change to watching at any time. */
function sendProjection(
  request: HttpRequest,
  response: HttpResponse,
  { cursor, revision }: { readonly cursor: string; readonly revision: string },
  toBody: () => unknown,
): void {
  const tag = `"${encodeURIComponent(revision)}"`;
  const headers = { etag: tag, "tailrace-cursor": cursor, "cache-control": "no-cache" };
  if (matches(headerOf(request, "if-none-match"), tag)) sendEmpty(response, 304, headers);
  else sendJson(response, 200, toBody(), headers);
}

/** Whether `If-None-Match` has the tag. Compared weakly (RFC 9110, 13.1.2): proxies that compress weaken tags. */
function matches(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return header.split(",").some((candidate) => {
    const text = candidate.trim();
    return text === "*" || text === tag || text === `W/${tag}`;
  });
}
