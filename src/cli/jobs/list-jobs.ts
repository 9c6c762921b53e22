import { toJsonString } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Job, JobSchema } from "../../../gen/tailrace/v1/job_service_pb.ts";
import { JobStateSchema } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { createJobs } from "../../client/index.ts";
import type { jobsOptions } from "../commands/jobs.ts";
import { exitCodes } from "../exit-codes.ts";
import { chosenCommandServer } from "../options/server-option.ts";
import type { OptionValues } from "../options/spec.ts";
import { enumWord } from "../output/describe.ts";
import { printable, type Style, styleFor } from "../output/style.ts";
import { textTable } from "../output/table.ts";
import { TextWriter } from "../output/writer.ts";

/** Jobs whose columns are made equally wide. More are shown in several such groups, so that none waits for the last. */
const groupSize = 1_000;

/** `tailrace jobs`: what a server remembers of jobs. */
export async function listJobs(values: OptionValues<typeof jobsOptions>): Promise<number> {
  const writer = new TextWriter(process.stdout);
  const style = styleFor(process.stdout);
  const jobs = createJobs({ baseUrl: chosenCommandServer(values) });
  let group: Job[] = [];
  let first = true;
  const show = async () => {
    await writer.write(table(group, first, style));
    group = [];
    first = false;
  };
  const { state: states, operation } = values;
  const listed = jobs.list({ states, signal: writer.closed, ...(operation === undefined ? {} : { operation }) });
  for await (const job of listed) {
    if (values.json) {
      await writer.write(`${toJsonString(JobSchema, job)}\n`);
    } else {
      group.push(job);
      if (group.length >= groupSize) await show();
    }
    if (writer.closed.aborted) break;
  }
  if (!values.json && (group.length > 0 || first)) await show();
  await writer.flush();
  jobs.close();
  return exitCodes.ok;
}

function table(jobs: readonly Job[], withHead: boolean, style: Style): string {
  const rows = jobs.map((job) => [
    printable(job.jobId, false),
    printable(job.operation, false),
    enumWord(JobStateSchema.value, job.state),
    job.createTime === undefined ? "-" : new Date(timestampMs(job.createTime)).toISOString(),
    printable([job.reason, job.message].filter((text) => text !== "").join(": "), false),
  ]);
  return textTable(["JOB", "OPERATION", "STATE", "SUBMITTED", "WHY"], rows, withHead, style);
}
