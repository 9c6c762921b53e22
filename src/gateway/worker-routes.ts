import { create, toJson } from "@bufbuild/protobuf";
import {
  GetTranscriptRequestSchema,
  GetTranscriptResponseSchema,
  GetWorkerRequestSchema,
  GetWorkerResponseSchema,
  ListWorkersRequestSchema,
  ListWorkersResponseSchema,
} from "../../gen/tailrace/v1/worker_service_pb.ts";
import { sendProjection } from "./projection.ts";
import { flag, wholeNumber } from "./query.ts";
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
export async function getWorker({ context, request, response, id, parameters }: Exchange): Promise<void> {
  parameters();
  const { runtime } = context;
  const answer = await runtime.lookUp(() => runtime.getWorker(create(GetWorkerRequestSchema, { workerId: id })));
  sendProjection(request, response, answer, () => toJson(GetWorkerResponseSchema, answer));
}

/** Answers with a page of a worker's transcript. */
export async function getTranscript({ context, request, response, id, parameters }: Exchange): Promise<void> {
  const values = parameters();
  const answer = await context.runtime.getTranscript(
    create(GetTranscriptRequestSchema, {
      workerId: id,
      pageSize: wholeNumber(values, "page_size"),
      pageToken: values.get("page_token") ?? "",
      newestFirst: flag(values, "newest_first"),
      changedSince: values.get("changed_since") ?? "",
    }),
  );
  sendProjection(request, response, answer, () => toJson(GetTranscriptResponseSchema, answer));
}
