import { commandServerOption, serverOption } from "../options/server-option.ts";
import { commaList, defineCommand, flag, value } from "../options/spec.ts";
import { anyText, oneOf } from "../options/values.ts";

export const jobsOptions = {
  state: commaList(
    "STATES",
    "Jobs in these states only: queued, running, succeeded, failed, cancelled, timed_out.",
    oneOf("queued", "running", "succeeded", "failed", "cancelled", "timed_out"),
  ),
  operation: value("NAME", "Jobs of this operation only.", anyText),
  json: flag("One job (proto3 JSON) per line."),
  server: serverOption,
  "command-server": commandServerOption,
} as const;

export const jobsCommand = defineCommand({
  name: "jobs",
  summary: "List the jobs that a server remembers.",
  description: ["Lists jobs, the newest first: operation, state, when it was submitted, and what became of it."],
  options: jobsOptions,
  examples: [
    ["tailrace jobs", "all jobs of the local server"],
    ["tailrace jobs --state queued,running", "those that have not ended"],
    ["tailrace jobs --state failed --json | jq -r .jobId", "only the ids"],
  ],
  async run(values): Promise<number> {
    const { listJobs } = await import("../jobs/list-jobs.ts");
    return listJobs(values);
  },
});
