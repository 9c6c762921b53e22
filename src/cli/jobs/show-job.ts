import { toJsonString } from "@bufbuild/protobuf";
import { durationMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Job, JobSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobStateSchema } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { createJobs } from "../../client/index.ts";
import type { jobOptions } from "../commands/job.ts";
import { exitCodes } from "../exit-codes.ts";
import { chosenCommandServer } from "../options/server-option.ts";
import type { OptionValues } from "../options/spec.ts";
import { enumWord } from "../output/describe.ts";
import { printable, type Style, styleFor } from "../output/style.ts";

/** `tailrace job`: one job. */
export async function showJob(jobId: string, values: OptionValues<typeof jobOptions>): Promise<number> {
  const jobs = createJobs({ baseUrl: chosenCommandServer(values) });
  const { job } = await jobs.get(jobId);
  jobs.close();
  const text = values.json ? `${toJsonString(JobSchema, job)}\n` : jobText(job, styleFor(process.stdout));
  process.stdout.write(text);
  return exitCodes.ok;
}

function jobText(job: Job, style: Style): string {
  const rows: [string, string | undefined][] = [
    ["job", job.jobId],
    ["operation", job.operation],
    ["parameters", job.params === undefined ? undefined : JSON.stringify(job.params)],
    ["state", stateWords(job)],
    ["reason", job.reason],
    ["message", job.message],
    ["exit code", job.exitCode?.toString()],
    ["worker", job.workerId],
    ["correlation", job.correlationId],
    ["submitted", instant(job.createTime)],
    ["started", instant(job.startTime)],
    ["ended", instant(job.endTime)],
    ["timeouts", timeoutWords(job)],
    ["events", `${job.events}, of which ${job.retainedEvents} ${job.retainedEvents === 1n ? "is" : "are"} retained`],
  ];
  return rows
    .filter((row): row is [string, string] => row[1] !== undefined && row[1] !== "")
    .map(([name, text]) => `${style.dim(name.padEnd(11))}  ${printable(text, false)}\n`)
    .join("");
}

/** A job's state, and what it waits for. */
export function stateWords(job: Job): string {
  const state = enumWord(JobStateSchema.value, job.state).replace("_", " ");
  if (job.queuePosition !== undefined) return `${state}, number ${job.queuePosition} in the queue`;
  if (job.endTime !== undefined) return state;
  if (job.cancelRequested) return `${state}, about to be cancelled`;
  return job.deferred && job.startTime === undefined ? `${state}, waits for \`tailrace start\`` : state;
}

function timeoutWords({ timeouts }: Job): string | undefined {
  if (timeouts === undefined) return undefined;
  const given = (["total", "idle", "queue"] as const).flatMap((name) => {
    const duration = timeouts[name];
    return duration === undefined ? [] : [`${name} ${durationMs(duration) / 1000} s`];
  });
  return given.join(", ");
}

function instant(time: Timestamp | undefined): string | undefined {
  return time === undefined ? undefined : new Date(timestampMs(time)).toISOString();
}
