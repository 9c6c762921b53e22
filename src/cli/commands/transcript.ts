import { usageError } from "../options/parse.ts";
import { serverOption } from "../options/server-option.ts";
import { defineCommand, flag } from "../options/spec.ts";
import { workerId } from "../options/values.ts";

export const transcriptOptions = {
  follow: flag("Go on as the transcript grows, until the worker ends.", "f"),
  json: flag("One entry (proto3 JSON) per line. With --follow an entry comes again whenever it changed."),
  server: serverOption,
} as const;

export const transcriptCommand = defineCommand({
  name: "transcript",
  summary: "Show what a worker and its users said, thought and called.",
  operands: "WORKER",
  description: [
    "Shows the transcript of a worker: messages, text, thinking, tool calls with their results, also what is unfinished. With --follow it goes on over lost connections and restarts of the server; text appears as it comes.",
    "Ends with 0, with --follow when the worker has ended for good, and with 130 on Ctrl-C.",
  ],
  options: transcriptOptions,
  examples: [
    ["tailrace transcript agent", "what it has said so far"],
    ["tailrace transcript agent --follow", "the same, live"],
    ["tailrace transcript agent --json | jq -r '.text.text // empty'", "only the text of the model"],
  ],
  async run(values, operands): Promise<number> {
    const [given, extra] = operands;
    if (given === undefined) {
      throw usageError("transcript", "WORKER", "The worker is missing: tailrace transcript WORKER.");
    }
    if (extra !== undefined) throw usageError("transcript", extra, "Only one worker can be given.");
    const { showTranscript } = await import("../transcript/show-transcript.ts");
    return showTranscript(workerId(given), values);
  },
});
