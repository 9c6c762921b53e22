import type { PublishReceipt } from "../publishing.ts";
import { loggerOf, outsideOfJob, storedJob } from "./context.ts";
import type { JobContext, JobLogger, NarrateOptions, ProgressInit } from "./operation.ts";
import { threadJob } from "./thread-job.ts";

/**
 * The job that the caller runs in; undefined: none. It follows every await, timer and emit that begins in the handler of
 * an operation. A listener runs in the job of whoever emits: `job.bind(listener)` ties it to its own. A worker thread is in
 * a job if it was started with the job's environment:
 * `new Worker(file, { env: { ...process.env, ...currentJob()?.environment() } })`.
 */
export function currentJob(): JobContext | undefined {
  return storedJob() ?? threadJob();
}

/**
 * Says something for people as the job that the caller runs in. Settles after the commit; need not be awaited.
 * @throws TailraceError `invalid_request` outside of a job: code that may run there uses `currentJob()?.narrate()`.
 */
export function narrate(action: string, message: string, options?: NarrateOptions): Promise<PublishReceipt> {
  return requireJob().narrate(action, message, options);
}

/** Says how far the job is that the caller runs in. @throws as `narrate`. */
export function progress(progress: ProgressInit): Promise<PublishReceipt> {
  return requireJob().progress(progress);
}

/** Logs into the job that the caller runs in. @throws as `narrate`. */
export const jobLogger: JobLogger = loggerOf(requireJob);

function requireJob(): JobContext {
  const job = currentJob();
  if (job === undefined) throw outsideOfJob();
  return job;
}
