import { StreamDiagnosticSchema } from "../../gen/tailrace/v1/diagnostic_pb.ts";
import { EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { BookmarkSchema, StreamOpenedSchema } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
import {
  CancelJobResponseSchema,
  GetJobResponseSchema,
  ListJobsResponseSchema,
  StartJobRequestSchema,
  StartJobResponseSchema,
  SubmitJobRequestSchema,
  SubmitJobResponseSchema,
} from "../../gen/tailrace/v1/job_service_pb.ts";
import {
  GetTranscriptResponseSchema,
  GetWorkerResponseSchema,
  ListWorkersResponseSchema,
} from "../../gen/tailrace/v1/worker_service_pb.ts";
import { healthz, healthzBody, readyz, readyzBody } from "./health-routes.ts";
import { cancelJob, getJob, listJobs, startJob, submitJob } from "./job-routes.ts";
import { sendOpenApi } from "./openapi/route.ts";
import {
  cancelParameters,
  cursorHeader,
  entityTag,
  ifNoneMatch,
  jobListParameters,
  lastEventId,
  location,
  type Parameter,
  runtimeWatchParameters,
  simpleStreamParameters,
  transcriptParameters,
  watchParameters,
  workerListParameters,
} from "./parameters.ts";
import type { Answer, Operation, Route } from "./route.ts";
import { streamJob, watch } from "./stream-routes.ts";
import { getTranscript, getWorker, listWorkers } from "./worker-routes.ts";

const notModified: Answer = {
  description: "The caller has it already.",
  headers: [entityTag, cursorHeader],
};
const over: Answer = { description: "The stream was read to its end: the id is that of its last event." };

/** The names of events are the frame's or payload's; those of events of the log are too many to list. */
const frames = {
  opened: StreamOpenedSchema,
  bookmark: BookmarkSchema,
  diagnostic: StreamDiagnosticSchema,
  "*": EventSchema,
};

function watching(name: string, summary: string, query: readonly Parameter[], run: Operation["run"]): Operation {
  return {
    name,
    summary,
    services: ["observe"],
    query,
    headers: [lastEventId],
    answers: { 200: { description: "The frames of the watch, as they come.", stream: frames }, 204: over },
    run,
  };
}

function projection(
  operation: Omit<Operation, "answers" | "headers">,
  body: NonNullable<Answer["body"]>,
  description: string,
): Operation {
  return {
    ...operation,
    headers: [ifNoneMatch],
    answers: { 200: { description, body, headers: [entityTag, cursorHeader] }, 304: notModified },
  };
}

/** Every route there is. Each server has those of its services. */
export const routes: readonly Route[] = [
  {
    path: "/v1/events",
    operations: {
      GET: watching(
        "watchEvents",
        "Watches the runtime.",
        runtimeWatchParameters,
        watch(() => ({})),
      ),
    },
  },
  {
    path: "/v1/workers/{worker_id}/events",
    operations: {
      GET: watching(
        "watchWorker",
        "Watches a worker.",
        watchParameters,
        watch((workerId) => ({ workerId })),
      ),
    },
  },
  {
    path: "/v1/jobs/{job_id}/events",
    operations: {
      GET: watching(
        "watchJob",
        "Watches a job.",
        watchParameters,
        watch((jobId) => ({ jobId })),
      ),
    },
  },
  {
    path: "/v1/jobs/{job_id}/stream",
    operations: {
      GET: {
        name: "streamJob",
        summary: "Streams a job in the simple form, and starts it if it is deferred and the caller may submit.",
        // The stream's URL is in the answer to a submit, so that it is there wherever jobs can be submitted.
        services: ["observe", "jobs"],
        query: simpleStreamParameters,
        headers: [lastEventId],
        answers: {
          200: {
            description:
              "A line of data for each event; then [DONE], [ERROR] and a message, or [CANCELLED], and the stream closes. A diagnostic says where events were removed before they could be read.",
            stream: { "": EventSchema, diagnostic: StreamDiagnosticSchema },
          },
          204: over,
        },
        run: streamJob,
      },
    },
  },
  {
    path: "/v1/workers",
    operations: {
      GET: projection(
        {
          name: "listWorkers",
          summary: "Lists the workers, in the order of their ids.",
          services: ["observe"],
          query: workerListParameters,
          run: listWorkers,
        },
        ListWorkersResponseSchema,
        "A page of workers.",
      ),
    },
  },
  {
    path: "/v1/workers/{worker_id}",
    operations: {
      GET: projection(
        { name: "getWorker", summary: "Gives a worker.", services: ["observe"], run: getWorker },
        GetWorkerResponseSchema,
        "The worker.",
      ),
    },
  },
  {
    path: "/v1/workers/{worker_id}/transcript",
    operations: {
      GET: projection(
        {
          name: "getTranscript",
          summary: "Gives a page of a worker's transcript, with what is in flight.",
          services: ["observe"],
          query: transcriptParameters,
          run: getTranscript,
        },
        GetTranscriptResponseSchema,
        "A page of the transcript.",
      ),
    },
  },
  {
    path: "/v1/jobs",
    operations: {
      GET: {
        name: "listJobs",
        summary: "Lists the jobs that are remembered, newest first.",
        services: ["jobs"],
        query: jobListParameters,
        answers: { 200: { description: "A page of jobs.", body: ListJobsResponseSchema, headers: [cursorHeader] } },
        run: listJobs,
      },
      POST: {
        name: "submitJob",
        summary: "Submits a job.",
        services: ["jobs"],
        body: { message: SubmitJobRequestSchema, required: true },
        answers: {
          200: {
            description: "An earlier request with the same idempotency key made the job.",
            body: SubmitJobResponseSchema,
            headers: [location, cursorHeader],
          },
          201: { description: "The job.", body: SubmitJobResponseSchema, headers: [location, cursorHeader] },
        },
        run: submitJob,
      },
    },
  },
  {
    path: "/v1/jobs/{job_id}",
    operations: {
      GET: projection(
        { name: "getJob", summary: "Gives a job.", services: ["jobs"], run: getJob },
        GetJobResponseSchema,
        "The job.",
      ),
      DELETE: {
        name: "cancelJob",
        summary: "Cancels a job. Of one that has ended it changes nothing.",
        services: ["jobs"],
        query: cancelParameters,
        answers: { 200: { description: "The job as it is now.", body: CancelJobResponseSchema } },
        run: cancelJob,
      },
    },
  },
  {
    path: "/v1/jobs/{job_id}/start",
    operations: {
      POST: {
        name: "startJob",
        summary: "Starts a deferred job. Of any other it changes nothing.",
        services: ["jobs"],
        body: { message: StartJobRequestSchema, required: false },
        answers: { 200: { description: "The job as it is now.", body: StartJobResponseSchema } },
        run: startJob,
      },
    },
  },
  {
    path: "/healthz",
    operations: {
      GET: {
        name: "healthz",
        summary: "Whether the process is up.",
        services: [],
        answers: { 200: { description: "It is.", body: healthzBody } },
        run: ({ response }) => healthz(response),
      },
    },
  },
  {
    path: "/readyz",
    operations: {
      GET: {
        name: "readyz",
        summary: "Whether the server takes work, and why not.",
        services: [],
        answers: {
          200: { description: "It does.", body: readyzBody },
          503: { description: "It does not.", body: readyzBody },
        },
        run: ({ context, response }) => readyz(context, response),
      },
    },
  },
  {
    path: "/openapi.json",
    operations: {
      GET: {
        name: "openapi",
        summary: "This document.",
        services: [],
        headers: [ifNoneMatch],
        answers: {
          200: { description: "OpenAPI 3.1.", body: { type: "object" }, headers: [entityTag] },
          304: { description: "The caller has it already.", headers: [entityTag] },
        },
        run: sendOpenApi,
      },
    },
  },
];
