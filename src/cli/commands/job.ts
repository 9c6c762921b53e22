import { commandServerOption, serverOption } from "../options/server-option.ts";
import { defineCommand, flag } from "../options/spec.ts";
import { onlyJobId } from "./job-id.ts";

export const jobOptions = {
  json: flag("The job as proto3 JSON on one line."),
  server: serverOption,
  "command-server": commandServerOption,
} as const;

export const jobCommand = defineCommand({
  name: "job",
  summary: "Show one job.",
  operands: "ID",
  description: [
    "Shows what a job runs and what became of it. `tailrace watch --job ID` shows its events; its exit code says nothing of the job, that of `tailrace submit` does.",
  ],
  options: jobOptions,
  examples: [
    ["tailrace job 01JD3Z", "what became of it"],
    ["tailrace job 01JD3Z --json | jq -r .state", "for a program"],
  ],
  async run(values, operands): Promise<number> {
    const jobId = onlyJobId("job", operands);
    const { showJob } = await import("../jobs/show-job.ts");
    return showJob(jobId, values);
  },
});
