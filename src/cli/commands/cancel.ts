import { commandServerOption, serverOption } from "../options/server-option.ts";
import { defineCommand, flag, value } from "../options/spec.ts";
import { anyText } from "../options/values.ts";
import { onlyJobId } from "./job-id.ts";

export const cancelOptions = {
  message: value("TEXT", "Why, for people; at most 1,024 bytes.", anyText),
  json: flag("The job as proto3 JSON on one line."),
  server: serverOption,
  "command-server": commandServerOption,
} as const;

export const cancelCommand = defineCommand({
  name: "cancel",
  summary: "Cancel a job.",
  operands: "ID",
  description: [
    "A queued job ends at once and never runs. A running one is asked to end: its command and all that this started get SIGTERM, and after a grace SIGKILL; its stream says when it has ended. Of a job that has ended already it changes nothing, and says so.",
  ],
  options: cancelOptions,
  examples: [
    ["tailrace cancel 01JD3Z", "end it"],
    ['tailrace cancel 01JD3Z --message "wrong branch"', "and say why"],
  ],
  async run(values, operands): Promise<number> {
    const jobId = onlyJobId("cancel", operands);
    const { cancelJob } = await import("../jobs/change-job.ts");
    return cancelJob(jobId, values);
  },
});
