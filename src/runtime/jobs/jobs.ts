import type { JsonObject } from "@bufbuild/protobuf";
import type {
  CancelJobRequest,
  CancelJobResponse,
  GetJobRequest,
  GetJobResponse,
  ListJobsRequest,
  ListJobsResponse,
  StartJobRequest,
  StartJobResponse,
  SubmitJobRequest,
  SubmitJobResponse,
} from "../../../gen/tailrace/v1/job_service_pb.ts";
import { invalidRequest, TailraceError } from "../../base/errors.ts";
import type { JobHandler, OperationOptions } from "./operation.ts";

/** The jobs of a runtime. */
export class Jobs {
  readonly #operations = new Set<string>();

  operation<Params = JsonObject>(name: string, _options: OperationOptions<Params>, _handler: JobHandler<Params>): void {
    this.#operations.add(name);
  }

  async submit(request: SubmitJobRequest): Promise<SubmitJobResponse> {
    throw invalidRequest("operation", `there is no operation "${request.operation}"`);
  }

  async start(request: StartJobRequest): Promise<StartJobResponse> {
    throw notFound(request.jobId);
  }

  async cancel(request: CancelJobRequest): Promise<CancelJobResponse> {
    throw notFound(request.jobId);
  }

  get(request: GetJobRequest): GetJobResponse {
    throw notFound(request.jobId);
  }

  list(_request: ListJobsRequest): ListJobsResponse {
    throw invalidRequest("page_token", "there are no jobs");
  }
}

function notFound(jobId: string): TailraceError<"job_not_found"> {
  return new TailraceError("job_not_found", { jobId }, `There is no job "${jobId}".`);
}
