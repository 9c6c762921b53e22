import { usageError } from "../options/parse.ts";
import { commandServerOption, serverOption } from "../options/server-option.ts";
import { defineCommand, flag, value } from "../options/spec.ts";
import { anyText, heartbeatMs, someTimeMs, workerId } from "../options/values.ts";

export const submitOptions = {
  params: value("JSON", "All parameters as a JSON object; KEY=VALUE goes on top. Example: '{\"depth\": 1}'.", anyText),
  deferred: flag("The job waits for `tailrace start ID`, or for someone who opens its stream and may submit."),
  detach: flag("Print the job's id and leave it running."),
  "idempotency-key": value(
    "KEY",
    "Makes a repeat harmless: the same key with the same request is the same job.",
    anyText,
  ),
  worker: value("ID", "Worker that the job's events belong to. Default: none.", workerId),
  correlation: value("ID", "Id that ties the job's events to others of one cause. Default: none.", workerId),
  timeout: value("TIME", "Ends the job this long after its start: 90s, 10m, 1h30m.", someTimeMs),
  "idle-timeout": value("TIME", "Ends the job after this long without an event of it.", someTimeMs),
  "queue-timeout": value("TIME", "Ends the job if it has not started this long after the submit.", someTimeMs),
  heartbeat: value(
    "TIME",
    "Silence after which the server says that it is there, 1s to 60s. Shorter than what a proxy between cuts at. Default: 15s.",
    heartbeatMs,
  ),
  json: flag("One event (proto3 JSON) per line on stdout; with --detach the job."),
  quiet: flag("No lines of our own on stderr, only errors and the job's output.", "q"),
  server: serverOption,
  "command-server": commandServerOption,
} as const;

export const submitCommand = defineCommand({
  name: "submit",
  summary: "Run an operation as a job, and follow it to its end.",
  operands: "OPERATION [KEY=VALUE ...]",
  description: [
    "Submits a job of OPERATION and shows it as it runs: its output on stdout and stderr as they are, what it says about itself and its progress on stderr (as a bar in a terminal). Lost connections and restarts of the server are ridden out, and never make a second job.",
    "A VALUE is taken as JSON if it is JSON (a number, true, false, null, an array, an object, a text in double quotes), else as text: depth=1 is a number, 'tag=\"1\"' a text. A number that would not be written back the same, such as 1.10 or 007, is text too.",
    "Ctrl-C cancels the job and waits for its end; a second one leaves it as it is. Exit codes: 0 the job succeeded, 1 it failed, 124 it timed out, 130 it was cancelled, 2 the request makes no sense, 4 the server can't be reached or takes no job now (a full queue).",
  ],
  options: submitOptions,
  examples: [
    ["tailrace submit clone url=https://example.com/repo.git depth=1", "run the operation `clone`, and see it"],
    ["job=$(tailrace submit clone url=https://example.com/repo.git --detach)", "start it and go on"],
    ["tailrace submit build --timeout 10m --json | jq .progress", "bounded, for a program"],
  ],
  async run(values, operands): Promise<number> {
    const [operation, ...params] = operands;
    if (operation === undefined || operation === "") {
      throw usageError("submit", "OPERATION", "The operation is missing: tailrace submit OPERATION [KEY=VALUE ...].");
    }
    const { submit } = await import("../jobs/submit.ts");
    return submit(values, operation, params);
  },
});
