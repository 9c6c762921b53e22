import { create, toJson } from "@bufbuild/protobuf";
import {
  CancelJobRequestSchema,
  CancelJobResponseSchema,
  GetJobRequestSchema,
  GetJobResponseSchema,
  ListJobsRequestSchema,
  ListJobsResponseSchema,
  StartJobRequestSchema,
  StartJobResponseSchema,
  SubmitJobRequestSchema,
  SubmitJobResponseSchema,
} from "../../gen/tailrace/v1/job_service_pb.ts";
import { JobState, JobStateSchema } from "../../gen/tailrace/v1/payloads_pb.ts";
import { invalidRequest } from "../base/errors.ts";
import { readMessage } from "./body.ts";
import { sendJson } from "./http.ts";
import { sendProjection } from "./projection.ts";
import { list, wholeNumber } from "./query.ts";
import type { Exchange } from "./route.ts";

/** Makes a job. One that an earlier request with the same idempotency key made is answered with 200: nothing was created. */
export async function submitJob({ context, request, response, parameters }: Exchange): Promise<void> {
  parameters();
  const answer = await context.runtime.submitJob(await readMessage(request, SubmitJobRequestSchema));
  sendJson(response, answer.duplicate ? 200 : 201, toJson(SubmitJobResponseSchema, answer), {
    location: `/v1/jobs/${encodeURIComponent(answer.jobId)}`,
    "tailrace-cursor": answer.cursor,
  });
}

/** Answers with a page of jobs. */
export function listJobs({ context, response, parameters }: Exchange): void {
  const values = parameters();
  const answer = context.runtime.listJobs(
    create(ListJobsRequestSchema, {
      states: (list(values, "states", jobStates.size) ?? []).map(stateOf),
      operation: values.get("operation") ?? "",
      pageSize: wholeNumber(values, "page_size"),
      pageToken: values.get("page_token") ?? "",
    }),
  );
  sendJson(response, 200, toJson(ListJobsResponseSchema, answer), { "tailrace-cursor": answer.cursor });
}

/** Answers with one job. */
export async function getJob({ context, request, response, id, parameters }: Exchange): Promise<void> {
  parameters();
  const { runtime } = context;
  const answer = await runtime.lookUp(() => runtime.getJob(create(GetJobRequestSchema, { jobId: id })));
  sendProjection(request, response, answer, () => toJson(GetJobResponseSchema, answer));
}

/** Starts a deferred job. The body, if there is one, is a StartJobRequest whose job is that of the path. */
export async function startJob({ context, request, response, id, parameters }: Exchange): Promise<void> {
  parameters();
  const message = await readMessage(request, StartJobRequestSchema);
  if (message.jobId !== "" && message.jobId !== id) throw invalidRequest("job_id", "the path names another job");
  message.jobId = id;
  sendJson(response, 200, toJson(StartJobResponseSchema, await context.runtime.startJob(message)));
}

/** Cancels a job. */
export async function cancelJob({ context, response, id, parameters }: Exchange): Promise<void> {
  const message = parameters().get("message") ?? "";
  const answer = await context.runtime.cancelJob(create(CancelJobRequestSchema, { jobId: id, message }));
  sendJson(response, 200, toJson(CancelJobResponseSchema, answer));
}

/** States by their names in a query: the last part, in lower case. */
const jobStates: ReadonlyMap<string, JobState> = new Map(
  JobStateSchema.values
    .filter(({ number }) => number !== JobState.UNSPECIFIED)
    .map(({ name, number }) => [name.slice("JOB_STATE_".length).toLowerCase(), number as JobState]),
);

function stateOf(name: string, index: number): JobState {
  const state = jobStates.get(name);
  if (state === undefined)
    throw invalidRequest(`states[${index}]`, `must be one of ${[...jobStates.keys()].join(", ")}`);
  return state;
}
