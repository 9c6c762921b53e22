import { create, type JsonObject } from "@bufbuild/protobuf";
import type { Event } from "../../../gen/tailrace/v1/event_pb.ts";
import {
  CancelJobRequestSchema,
  GetJobRequestSchema,
  type Job,
  ListJobsRequestSchema,
  StartJobRequestSchema,
} from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import type { EventLog } from "../../../src/log/contract.ts";
import { MemoryLog } from "../../../src/log/memory/index.ts";
import { isTerminal } from "../../../src/runtime/jobs/machine.ts";
import type { JobMemoryOptions } from "../../../src/runtime/jobs/memory.ts";
import type { JobContext } from "../../../src/runtime/jobs/operation.ts";
import { Runtime } from "../../../src/runtime/runtime.ts";
import { until } from "../../support/until.ts";
import { eventsIn, framesUntil, isDiagnostic } from "../support.ts";

export interface JobRuntime {
  readonly clock: ManualClock;
  readonly log: EventLog;
  readonly runtime: Runtime;
  /** What was reported. */
  readonly faults: unknown[];
}

/** A runtime over a log in memory, with a clock that stands still. Faults are collected. */
export function jobRuntime(options: { log?: EventLog; clock?: ManualClock; jobs?: JobMemoryOptions } = {}): JobRuntime {
  const clock = options.clock ?? new ManualClock();
  const log = options.log ?? new MemoryLog({ runtimeId: "test", clock });
  const faults: unknown[] = [];
  const jobs = options.jobs === undefined ? {} : { jobs: options.jobs };
  const runtime = new Runtime({ log, clock, onError: (error) => faults.push(error), ...jobs });
  return { clock, log, runtime, faults };
}

export function getJob(runtime: Runtime, jobId: string): Job {
  return runtime.getJob(create(GetJobRequestSchema, { jobId })).job as Job;
}

export function startJob(runtime: Runtime, jobId: string) {
  return runtime.startJob(create(StartJobRequestSchema, { jobId }));
}

export function cancelJob(runtime: Runtime, jobId: string, message = "") {
  return runtime.cancelJob(create(CancelJobRequestSchema, { jobId, message }));
}

export function listJobs(runtime: Runtime, init: Parameters<typeof create<typeof ListJobsRequestSchema>>[1] = {}) {
  return runtime.listJobs(create(ListJobsRequestSchema, init));
}

/** Waits until the end of a job is committed, and gives the job. */
export async function ended(runtime: Runtime, jobId: string): Promise<Job> {
  await until(() => isTerminal(getJob(runtime, jobId).state), `the end of job ${jobId}`);
  return getJob(runtime, jobId);
}

/** Waits until a job is in a state. */
export async function reached(runtime: Runtime, jobId: string, state: JobState): Promise<void> {
  await until(() => getJob(runtime, jobId).state === state, `job ${jobId} to be ${nameOf(state)}`);
}

/** Lets everything happen that waits for nothing but its turn. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits for the end of a job, and replays its stream from the beginning to `stream_ended`. */
export async function eventsOfJob(runtime: Runtime, jobId: string): Promise<Event[]> {
  await ended(runtime, jobId);
  return eventsIn(await framesUntil(runtime.watch({ jobId }), isDiagnostic("streamEnded")));
}

/** What the events say, in short: "queued", "execute_complete", "progress". */
export function said(events: readonly Event[]): string[] {
  return events.map(({ payload }) => {
    if (payload.case === "jobStateChanged") return nameOf(payload.value.state);
    if (payload.case === "narration") return payload.value.action;
    return String(payload.case);
  });
}

export function nameOf(state: JobState): string {
  return (
    Object.entries(JobState)
      .find(([, value]) => value === state)?.[0]
      .toLowerCase() ?? "?"
  );
}

/** A handler that settles when it is told, and the calls of it. */
export function controlledHandler() {
  const calls: { job: JobContext; params: JsonObject; finish(): void; fail(error: unknown): void }[] = [];
  const handler = (params: JsonObject, job: JobContext) =>
    new Promise<void>((resolve, reject) => {
      calls.push({ job, params, finish: () => resolve(), fail: reject });
    });
  return { calls, handler };
}

/** What `nameOf` says of the events of a job that did what it was to do, and of one whose handler threw. */
export const complete = ["queued", "running", "execute", "execute_complete", "succeeded"];
export const failed = ["queued", "running", "execute", "execute_error", "failed"];
