/** The core of Tailrace: a runtime, its logs and its words. It needs no network and no optional dependency. */
export { type Event, EventKind, type NewEvent } from "../gen/tailrace/v1/event_pb.ts";
export { IfMissing, OnExpired, StartAt } from "../gen/tailrace/v1/event_stream_service_pb.ts";
export {
  AlertLevel,
  CommandStatus,
  JobState,
  NarrationLevel,
  OutputStream,
  WorkerOutcome,
  WorkerState,
} from "../gen/tailrace/v1/payloads_pb.ts";
export { type Clock, ManualClock, type StopTimer, systemClock } from "./base/clock.ts";
export { hasReason, type ProblemDetails, type Reason, TailraceError } from "./base/errors.ts";
export { defaultRetention, limits, type RetentionLimits } from "./base/limits.ts";
export { CursorCodec, type DecodedCursor, decodeCursor, type Position } from "./events/cursor.ts";
export type {
  AppendBatch,
  AppendResult,
  EventLog,
  LogHealth,
  LogIdentity,
  Scope,
  WorkerRecord,
} from "./log/contract.ts";
export { type Durability, type EmbeddedLogOptions, openEmbeddedLog } from "./log/embedded/index.ts";
export { MemoryLog, type MemoryLogOptions } from "./log/memory/index.ts";
export { currentJob, jobLogger, narrate, progress } from "./runtime/jobs/narrate.ts";
export {
  type JobContext,
  JobFailure,
  type JobHandler,
  type JobLogger,
  type JobResult,
  type JobTimeoutOptions,
  type LevelName,
  type NarrateOptions,
  type OperationOptions,
  type ProgressInit,
  type SubmitOptions,
} from "./runtime/jobs/operation.ts";
export type { StandardIssue, StandardResult, StandardSchemaV1 } from "./runtime/jobs/standard-schema.ts";
export type { WatchFrame } from "./runtime/object-form.ts";
export type { PublishReceipt } from "./runtime/publishing.ts";
export { Runtime, type RuntimeOptions } from "./runtime/runtime.ts";
export type { TranscriptOptions } from "./runtime/transcripts/transcripts.ts";
export type { EventOptions, PayloadInit, Worker } from "./runtime/worker.ts";
