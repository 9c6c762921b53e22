import { usageError } from "../options/parse.ts";
import { commandServerOption, serverOption } from "../options/server-option.ts";
import { defineCommand, flag, value } from "../options/spec.ts";
import { workerId } from "../options/values.ts";

export const publishOptions = {
  worker: value("ID", "Worker of the lines that name none.", workerId),
  text: flag("Lines are text, not JSON: each becomes output of --worker."),
  quiet: flag("No lines of our own on stderr, only errors.", "q"),
  server: serverOption,
  "command-server": commandServerOption,
} as const;

export const publishCommand = defineCommand({
  name: "publish",
  summary: "Publish events from stdin.",
  description: [
    'Reads one event per line, a NewEvent in proto3 JSON: {"workerId": "build", "narration": {"action": "clone", "message": "..."}}. With --text every line is output of --worker as it is.',
    "A line that makes no sense ends it with exit code 2 and the number of the line; those before it are published. Restarts of the server are ridden out, and every event is published once. When stdin ends, the cursor after the last event is printed on stdout.",
  ],
  options: publishOptions,
  examples: [
    [
      `echo '{"narration": {"action": "deploy", "message": "rolling out"}}' | tailrace publish --worker deploy`,
      "one event",
    ],
    ["tail -F app.log | tailrace publish --worker app --text", "a log file as it grows"],
    ["tailrace publish --server http://127.0.0.1:7433 < events.jsonl", "a file of events"],
  ],
  async run(values): Promise<number> {
    if (values.text && values.worker === undefined) {
      throw usageError("publish", "--worker", "Text lines need a worker: tailrace publish --text --worker ID.");
    }
    const { publish } = await import("../publish/publish.ts");
    return publish(values);
  },
});
