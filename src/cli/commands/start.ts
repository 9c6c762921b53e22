import { commandServerOption, serverOption } from "../options/server-option.ts";
import { defineCommand, flag } from "../options/spec.ts";
import { onlyJobId } from "./job-id.ts";

export const startOptions = {
  json: flag("The job as proto3 JSON on one line."),
  server: serverOption,
  "command-server": commandServerOption,
} as const;

export const startCommand = defineCommand({
  name: "start",
  summary: "Start a job that was submitted with --deferred.",
  operands: "ID",
  description: [
    "The job starts as soon as its operation has room. Of a job that has started or ended already it changes nothing, and says so.",
  ],
  options: startOptions,
  examples: [["tailrace start 01JD3Z", "let a deferred job begin"]],
  async run(values, operands): Promise<number> {
    const jobId = onlyJobId("start", operands);
    const { startJob } = await import("../jobs/change-job.ts");
    return startJob(jobId, values);
  },
});
