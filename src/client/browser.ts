/** `tailrace/client` in browsers: watches, publishes and reads over Connect. Needs optional dependencies. */
import { openDoor } from "../base/door.ts";

export type { Event, NewEvent } from "../../gen/tailrace/v1/event_pb.ts";
export { EventKind } from "../../gen/tailrace/v1/event_pb.ts";
export type { Job } from "../../gen/tailrace/v1/job_service_pb.ts";
export {
  AlertLevel,
  CommandStatus,
  JobState,
  NarrationLevel,
  OutputStream,
  WorkerOutcome,
  WorkerState,
} from "../../gen/tailrace/v1/payloads_pb.ts";
export { RunResult, ToolCallState } from "../../gen/tailrace/v1/transcript_pb.ts";
export type { TranscriptCommand, TranscriptEntry, Worker } from "../../gen/tailrace/v1/worker_service_pb.ts";
export type { Backoff } from "../base/backoff.ts";
export { type Clock, ManualClock, systemClock } from "../base/clock.ts";
export { hasReason, type JobOutcome, type ProblemDetails, type Reason, TailraceError } from "../base/errors.ts";
export type { Checkpoint } from "./checkpoint.ts";
export type { CommandServerOptions, ServerOptions } from "./connection.ts";
export type {
  JobAnswer,
  JobEnd,
  JobStateName,
  Jobs,
  JobTimeouts,
  SubmitOptions,
  SubmittedJob,
} from "./jobs.ts";
export type { WatchOptions, WatchScope, WatchStartOptions } from "./options.ts";
export type { NewEventInit, Publisher, PublisherOptions, PublishReceipt } from "./publisher.ts";
export type { StreamOutcome, WatchStatus } from "./status.ts";
export type { JobWatch, SubmitAndWatchOptions } from "./submit-and-watch.ts";
export type { Transcript } from "./transcript.ts";
export type { FollowedTranscript, FollowTranscriptOptions, TranscriptStatus } from "./transcript-follow.ts";
export type { Watch, WatchedBatch } from "./watch.ts";
export type { WorkerAnswer, Workers } from "./workers.ts";

const implementation = await openDoor(
  { part: "tailrace/client", packages: ["@connectrpc/connect", "@connectrpc/connect-web"] },
  () => import("./web.ts"),
);

export const watch: typeof implementation.watch = implementation.watch;
export const createPublisher: typeof implementation.createPublisher = implementation.createPublisher;
export const createJobs: typeof implementation.createJobs = implementation.createJobs;
export const submitAndWatch: typeof implementation.submitAndWatch = implementation.submitAndWatch;
export const createWorkers: typeof implementation.createWorkers = implementation.createWorkers;
export const followTranscript: typeof implementation.followTranscript = implementation.followTranscript;
