import { create, toJson } from "@bufbuild/protobuf";
import {
  GetWorkerRequestSchema,
  GetWorkerResponseSchema,
  ListWorkersRequestSchema,
  ListWorkersResponseSchema,
} from "../../gen/tailrace/v1/worker_service_pb.ts";
import { sendProjection } from "./projection.ts";
import { wholeNumber } from "./query.ts";
import type { Exchange } from "./route.ts";

/** Answers with a page of workers. */
export function listWorkers({ context, request, response, parameters }: Exchange): void {
  const values = parameters();
  const answer = context.runtime.listWorkers(
    create(ListWorkersRequestSchema, {
      pageSize: wholeNumber(values, "page_size"),
      pageToken: values.get("page_token") ?? "",
    }),
  );
  sendProjection(request, response, answer, () => toJson(ListWorkersResponseSchema, answer));
}

/** Answers with one worker. */
export function getWorker({ context, request, response, id, parameters }: Exchange): void {
  parameters();
  const answer = context.runtime.getWorker(create(GetWorkerRequestSchema, { workerId: id }));
  sendProjection(request, response, answer, () => toJson(GetWorkerResponseSchema, answer));
}
