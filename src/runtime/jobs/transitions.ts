import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Job } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { limits } from "../../base/limits.ts";
import type { PayloadInit } from "../worker.ts";
import type { JobEnd, TerminalState } from "./machine.ts";
import { narrationPayload } from "./narration.ts";
import type { LevelName } from "./operation.ts";

const endNarrations: Readonly<Record<TerminalState, { readonly action: string; readonly level: LevelName }>> = {
  [JobState.SUCCEEDED]: { action: "execute_complete", level: "info" },
  [JobState.FAILED]: { action: "execute_error", level: "error" },
  [JobState.CANCELLED]: { action: "execute_cancelled", level: "warn" },
  [JobState.TIMED_OUT]: { action: "execute_timeout", level: "error" },
};

/** What is said of a job that was submitted. */
export function submitted(job: Job): PayloadInit[] {
  return [stateChanged(job, JobState.QUEUED)];
}

/** Makes a job one that runs since `startTimeMs` (milliseconds since the epoch); what is said of that. */
export function started(job: Job, startTimeMs: number): PayloadInit[] {
  job.state = JobState.RUNNING;
  job.deferred = false;
  job.startTime = timestampFromMs(startTimeMs);
  return [
    stateChanged(job, JobState.RUNNING),
    narrationPayload("execute", `Job ${job.operation} started.`, { target: job.operation }),
  ];
}

/** Makes a job one that ended at `endTimeMs` (milliseconds since the epoch), its texts cut; what is said of that. */
export function ended(job: Job, end: JobEnd, endTimeMs: number): PayloadInit[] {
  job.state = end.state;
  job.reason = cut(end.reason, limits.maxJobReasonBytes);
  job.message = cut(end.message, limits.maxJobMessageBytes);
  if (end.exitCode !== undefined) job.exitCode = end.exitCode;
  job.deferred = false;
  job.endTime = timestampFromMs(endTimeMs);
  const { action, level } = endNarrations[end.state];
  const startTimeMs = job.startTime === undefined ? undefined : timestampMs(job.startTime);
  return [
    narrationPayload(action, job.message, {
      level,
      target: job.operation,
      ...(end.state === JobState.SUCCEEDED ? {} : { errorKind: job.reason }),
      ...(startTimeMs === undefined ? {} : { durationMs: Math.max(0, endTimeMs - startTimeMs) }),
    }),
    stateChanged(job, end.state),
  ];
}

function stateChanged(job: Job, state: JobState): PayloadInit {
  const { operation, reason, message, exitCode } = job;
  const value = { state, operation, reason, message, ...(exitCode === undefined ? {} : { exitCode }) };
  return { case: "jobStateChanged", value };
}

/** At most so many bytes of a text, whole characters only. */
function cut(text: string, maxBytes: number): string {
  // A character has a byte at least: of a text of any length no more than this is looked at.
  const bytes = new TextEncoder().encode(text.slice(0, maxBytes));
  if (bytes.length <= maxBytes && text.length <= maxBytes) return text.toWellFormed();
  let end = maxBytes;
  // Continuation bytes of a character that would be torn.
  while (((bytes[end] as number) & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(bytes.subarray(0, end));
}
