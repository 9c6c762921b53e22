import { toJsonString } from "@bufbuild/protobuf";
import { type Job, JobSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { createJobs, type Jobs } from "../../client/index.ts";
import type { cancelOptions } from "../commands/cancel.ts";
import type { startOptions } from "../commands/start.ts";
import { exitCodes } from "../exit-codes.ts";
import { chosenCommandServer, type ServerValues } from "../options/server-option.ts";
import type { OptionValues } from "../options/spec.ts";
import { printable } from "../output/style.ts";
import { stateWords } from "./show-job.ts";

/** `tailrace start`. */
export function startJob(jobId: string, values: OptionValues<typeof startOptions>): Promise<number> {
  return changed(values, (jobs) => jobs.start(jobId));
}

/** `tailrace cancel`. */
export function cancelJob(jobId: string, values: OptionValues<typeof cancelOptions>): Promise<number> {
  const { message } = values;
  return changed(values, (jobs) => jobs.cancel(jobId, message === undefined ? {} : { message }));
}

/** Makes a call and prints the job as it is now. */
async function changed(
  values: ServerValues & { readonly json: boolean },
  change: (jobs: Jobs) => Promise<Job>,
): Promise<number> {
  const jobs = createJobs({ baseUrl: chosenCommandServer(values) });
  const job = await change(jobs);
  jobs.close();
  const line = values.json ? toJsonString(JobSchema, job) : `${printable(job.jobId, false)}  ${stateWords(job)}`;
  process.stdout.write(`${line}\n`);
  return exitCodes.ok;
}
