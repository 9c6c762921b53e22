import type { WatchEventsRequest } from "../../gen/tailrace/v1/event_stream_service_pb.ts";
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
} from "../../gen/tailrace/v1/job_service_pb.ts";
import type {
  GetTranscriptRequest,
  GetTranscriptResponse,
  GetWorkerRequest,
  GetWorkerResponse,
  ListWorkersRequest,
  ListWorkersResponse,
} from "../../gen/tailrace/v1/worker_service_pb.ts";
import type { Clock } from "../base/clock.ts";
import type { ReportError } from "../base/incident.ts";
import type { ServiceName } from "../base/services.ts";
import type { CursorCodec } from "../events/cursor.ts";
import type { LogHealth } from "../log/contract.ts";
import type { WatchSink, WireForm } from "../stream/form.ts";

/** What the gateway needs of a runtime. */
export interface GatewayRuntime {
  readonly cursors: CursorCodec;
  /** What time it is for the times of events, in milliseconds since the epoch. */
  readonly timeMs: number;
  openWatch<Entries, Frame>(
    request: WatchEventsRequest,
    form: WireForm<Entries, Frame>,
    sink: WatchSink<Frame>,
    signal: AbortSignal,
    group?: object,
  ): Promise<{ resume(): void }>;
  listWorkers(request: ListWorkersRequest): ListWorkersResponse;
  getWorker(request: GetWorkerRequest): GetWorkerResponse;
  lookUp<T>(read: () => T): Promise<T>;
  getTranscript(request: GetTranscriptRequest): Promise<GetTranscriptResponse>;
  submitJob(request: SubmitJobRequest): Promise<SubmitJobResponse>;
  startJob(request: StartJobRequest): Promise<StartJobResponse>;
  cancelJob(request: CancelJobRequest): Promise<CancelJobResponse>;
  getJob(request: GetJobRequest): GetJobResponse;
  listJobs(request: ListJobsRequest): ListJobsResponse;
  health(): LogHealth;
}

/** What every route works with. */
export interface GatewayContext {
  readonly runtime: GatewayRuntime;
  /** What is served of it. */
  readonly services: ReadonlySet<ServiceName>;
  /** What its watches have in common, so that they can be ended together. Default: nothing. */
  readonly group?: object | undefined;
  readonly clock: Clock;
  /** Milliseconds after which a reader that takes nothing with bytes pending is cut off. */
  readonly stallTimeoutMs: number;
  /** Whether the server is shutting down. */
  readonly isClosing: () => boolean;
  readonly report: ReportError;
}
