import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import type { NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import {
  type ListEventsRequest,
  type ListEventsResponse,
  type WatchEventsRequest,
  WatchEventsRequestSchema,
} from "../../gen/tailrace/v1/event_stream_service_pb.ts";
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
import type { PublishEventsResponse } from "../../gen/tailrace/v1/publisher_service_pb.ts";
import type {
  GetTranscriptRequest,
  GetTranscriptResponse,
  GetWorkerRequest,
  GetWorkerResponse,
  ListWorkersRequest,
  ListWorkersResponse,
} from "../../gen/tailrace/v1/worker_service_pb.ts";
import { TailraceError } from "../base/errors.ts";
import type { CursorCodec } from "../events/cursor.ts";
import type { EventLog, LogHealth } from "../log/contract.ts";
import type { WatchSink, WireForm } from "../stream/form.ts";
import type { Watch } from "../stream/watch.ts";
import { ageTime } from "./decided.ts";
import type { Jobs } from "./jobs/jobs.ts";
import type { JobHandler, OperationOptions, SubmitOptions } from "./jobs/operation.ts";
import { listEvents } from "./list-events.ts";
import { lookUp } from "./look-up.ts";
import { objectForm, type WatchFrame, watchFrames } from "./object-form.ts";
import { makeParts, type RuntimeOptions, type RuntimeParts } from "./parts.ts";
import type { PublishRequest } from "./prepared-batch.ts";
import type { PublishReceipt } from "./publishing.ts";
import { checkId, type RequestContext, watchSpec } from "./requests.ts";
import { submitRequest } from "./requests-jobs.ts";
import { getTranscript } from "./transcripts/get-transcript.ts";
import { Worker } from "./worker.ts";
import { getWorker, listWorkers } from "./workers.ts";

export type { RuntimeOptions };

/**
 * A worker runtime that can be watched: workers publish into its log, any number of watches follow it, each from any
 * position. It has no network of its own; `tailrace/server` serves it.
 */
export class Runtime {
  readonly log: EventLog;
  /** Writes and reads this runtime's cursors. */
  readonly cursors: CursorCodec;
  readonly #parts: RuntimeParts;
  readonly #objects: ReturnType<typeof objectForm>;
  #advertised: string | undefined;
  #closing: TailraceError | undefined;
  #closed: Promise<void> | undefined;

  /** @throws TailraceError `log_open_failed` for a log that was not copied to its end. */
  constructor(options: RuntimeOptions) {
    this.#parts = makeParts(options, {
      runtime: this,
      advertised: () => this.#advertised,
      requireOpen: () => this.#requireOpen(),
    });
    this.log = this.#parts.log;
    this.cursors = this.#parts.cursors;
    this.#objects = objectForm(this.cursors);
    void this.#say({ case: "runtimeStarted", value: {} });
    this.#parts.jobs.recover();
  }

  /** Id of the runtime, which cursors carry. */
  get id(): string {
    return this.log.identity.runtimeId;
  }

  /** Open watches. */
  get watches(): number {
    return this.#parts.tail.size;
  }

  /** Open watches that were not yet handed everything that is committed: whoever is about to close may wait for them. */
  get watchesBehind(): number {
    return this.#parts.tail.behind;
  }

  /** Transcripts in memory, and about as many bytes as they take there. Others are read again when they are needed. */
  get transcripts(): { readonly count: number; readonly bytes: number } {
    return this.#parts.transcripts.residents;
  }

  /** A handle to publish for a worker. @throws TailraceError `invalid_request` for an id that is empty or too long. */
  worker(id: string): Worker {
    return new Worker(this, checkId(id, "worker_id"));
  }

  /**
   * Publishes events in one batch, all or none, and settles after the commit. Batches that nobody waits for are committed in
   * the order of the calls for each worker and each job; where servers share a log, one that another server was ahead of is
   * decided again and may come after later ones (docs/protocol.md says when): wait for each where the order matters.
   * @throws TailraceError `invalid_request`, `limit_exceeded`, `log_unavailable`, `server_closing`.
   */
  publish(events: readonly MessageInitShape<typeof NewEventSchema>[]): Promise<PublishReceipt> {
    return this.#parts.publishing.inProcess(events);
  }

  /**
   * Publishes what came from outside: the PublishEvents RPC. Events that are encoded still go into the log as they are
   * if they are in canonical form. With the token of a job, they are events of that job only: ids that are empty are
   * filled in, and others than the job's are refused.
   * @throws TailraceError as `publish`, and `producer_conflict`, `producer_unknown`, `job_not_found`, `job_ended`,
   *   `access_denied` for a token that is not (or no longer) good, or for ids of others.
   */
  publishEvents(request: PublishRequest, options: { readonly jobToken?: string } = {}): Promise<PublishEventsResponse> {
    const { jobToken } = options;
    return this.#parts.publishing.fromOutside(request, (events) =>
      jobToken === undefined ? events : this.#parts.jobs.asJob(jobToken, events),
    );
  }

  /**
   * Watches in process, with the frames that every edge sends (docs/protocol.md, "Frames"). The first `next` throws
   * TailraceError if the watch is refused; later ends come as a last frame with a terminal diagnostic.
   */
  watch(
    request: MessageInitShape<typeof WatchEventsRequestSchema> = {},
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncIterable<WatchFrame> {
    return watchFrames(
      (queue, signal) => this.openWatch(create(WatchEventsRequestSchema, request), this.#objects, queue, signal),
      options.signal,
    );
  }

  /**
   * Opens a watch for an edge. Its frames go to `sink`; when `signal` aborts, the reader has left. `group`: see `closeGroup`.
   * @throws TailraceError before anything was written, if the watch is refused.
   */
  async openWatch<Entries, Frame>(
    request: WatchEventsRequest,
    form: WireForm<Entries, Frame>,
    sink: WatchSink<Frame>,
    signal: AbortSignal,
    group?: object,
  ): Promise<Watch> {
    return this.#parts.tail.open(watchSpec(request, this.#requestContext()), form, sink, signal, group);
  }

  /** A page of events. @throws TailraceError. */
  async listEvents(request: ListEventsRequest): Promise<ListEventsResponse> {
    this.#requireOpen();
    return listEvents(this.log, this.#requestContext(), request);
  }

  /** A page of workers. @throws TailraceError `invalid_request`. */
  listWorkers(request: ListWorkersRequest): ListWorkersResponse {
    return listWorkers(this.log, this.cursors, this.#parts.workers, request);
  }

  /** One worker. @throws TailraceError `worker_not_found`. */
  getWorker(request: GetWorkerRequest): GetWorkerResponse {
    return getWorker(this.log, this.cursors, this.#parts.workers, request);
  }

  /**
   * A page of a worker's transcript, as of one instant. After a restart it waits until the worker's events are folded.
   * @throws TailraceError `worker_not_found`, `invalid_request`, `log_unavailable`.
   */
  async getTranscript(request: GetTranscriptRequest): Promise<GetTranscriptResponse> {
    const { log, cursors } = this;
    return getTranscript({ log, cursors, workers: this.#parts.workers, transcripts: this.#parts.transcripts }, request);
  }

  /**
   * Declares what jobs can run. Jobs of this name that wait since before a restart begin to run.
   * @throws TailraceError `invalid_request` for a name that is taken, or for options that make no sense.
   */
  operation<Params = JsonObject>(name: string, options: OperationOptions<Params>, handler: JobHandler<Params>): void {
    this.#parts.jobs.operation(name, options, handler);
  }

  /** `submitJob`, as code in the process says it. @throws as `submitJob`. */
  async submit(operation: string, params: JsonObject = {}, options: SubmitOptions = {}): Promise<SubmitJobResponse> {
    return this.submitJob(submitRequest(operation, params, options));
  }

  /**
   * Checks the parameters of an operation and makes a job of them. Settles once the job is committed.
   * @throws TailraceError `invalid_request` (naming the field: "params.retries"), `limit_exceeded`, `log_unavailable`,
   *   `server_closing`.
   */
  async submitJob(request: SubmitJobRequest): Promise<SubmitJobResponse> {
    this.#requireOpen();
    return this.#parts.jobs.submit(request);
  }

  /** Starts a deferred job; of a job that started or ended, changes nothing. @throws TailraceError `job_not_found`. */
  async startJob(request: StartJobRequest): Promise<StartJobResponse> {
    this.#requireOpen();
    return this.#parts.jobs.start(request);
  }

  /**
   * Ends a queued job at once, asks a running one to end, and changes nothing of one that has ended.
   * @throws TailraceError `job_not_found`, `invalid_request`.
   */
  async cancelJob(request: CancelJobRequest): Promise<CancelJobResponse> {
    this.#requireOpen();
    return this.#parts.jobs.cancel(request);
  }

  /** One job. @throws TailraceError `job_not_found`, `invalid_request`. */
  getJob(request: GetJobRequest): GetJobResponse {
    return this.#parts.jobs.get(request);
  }

  /** A page of jobs, newest first. @throws TailraceError `invalid_request`. */
  listJobs(request: ListJobsRequest): ListJobsResponse {
    return this.#parts.jobs.list(request);
  }

  /**
   * What `read` gives, which is synchronous. Where it finds no worker or job, another server that shares the log may have made
   * it a moment ago: then it reads again as soon as this one knows all that was committed before the call.
   * @throws TailraceError what `read` throws, `log_unavailable`.
   */
  lookUp<T>(read: () => T): Promise<T> {
    return lookUp(this.log, read);
  }

  /** Says where this runtime is served, so that child processes of jobs find it (TAILRACE_SERVER). */
  advertise(url: string): void {
    this.#advertised = url;
  }

  /** What `advertise` was told; undefined: nothing. */
  get advertised(): string | undefined {
    return this.#advertised;
  }

  /** How many jobs are remembered, places are held for them in lists, jobs run, and job tokens are good. */
  get jobsHeld(): Jobs["held"] {
    return this.#parts.jobs.held;
  }

  /** What time it is for the times of events, in milliseconds since the epoch: of a log that servers share, the log's. */
  get timeMs(): number {
    return ageTime(this.log, this.#parts.clock);
  }

  /** Whether the log can be used. */
  health(): LogHealth {
    return this.log.health();
  }

  /** Ends the watches of a group with `server_closing`, and refuses new ones: one of several servers closes. */
  closeGroup(group: object, retryAfterMs: number): void {
    this.#parts.tail.closeGroup(group, retryAfterMs);
  }

  /** Ends every watch with `server_closing`, and refuses new watches and publishes. `retryAfterMs`: when to come back. */
  beginClosing(retryAfterMs: number): void {
    this.#closing ??= new TailraceError(
      "server_closing",
      { retryAfterMs },
      "The runtime is closing. Come back to it after a while.",
    );
    this.#parts.jobs.beginClosing();
    this.#parts.tail.beginClosing(retryAfterMs);
  }

  /**
   * Ends running jobs (their handlers have as long as their operation's cancelGraceMs), says `runtime_stopped`, ends every
   * watch and closes the log.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#parts.workerMemory.stop();
    this.#closing ??= new TailraceError("server_closing", { retryAfterMs: 0 }, "The runtime is closed.");
    await this.#parts.jobs.close();
    await this.#say({ case: "runtimeStopped", value: {} });
    this.#parts.tail.close();
    await this.#parts.transcripts.close();
    this.#parts.stopProjections();
    await this.log.close();
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw this.#closing;
  }

  #requestContext(): RequestContext {
    return { cursors: this.cursors, head: this.log.bounds({ kind: "runtime" }).head };
  }

  /** Says something of the runtime itself. That it could not be said is no reason to fail. */
  async #say(payload: NonNullable<MessageInitShape<typeof NewEventSchema>["payload"]>): Promise<void> {
    try {
      await this.#parts.publishing.ofRuntime(payload);
    } catch (error) {
      this.#parts.report(error);
    }
  }
}
