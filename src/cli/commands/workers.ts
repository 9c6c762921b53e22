import { serverOption } from "../options/server-option.ts";
import { defineCommand, value } from "../options/spec.ts";
import { oneOf } from "../options/values.ts";

export const workersOptions = {
  format: value(
    "FORMAT",
    "pretty for people, json for one worker (proto3 JSON) per line. Default: pretty.",
    oneOf("pretty", "json"),
  ),
  server: serverOption,
} as const;

export const workersCommand = defineCommand({
  name: "workers",
  summary: "List the workers that a server knows.",
  description: [
    "Lists workers in the order of their ids: state, events in all, what is retained of them, and the newest event.",
  ],
  options: workersOptions,
  examples: [
    ["tailrace workers", "what runs on the local server"],
    ["tailrace workers --format json | jq -r .workerId", "only the ids"],
  ],
  async run(values): Promise<number> {
    const { listWorkers } = await import("../list-workers.ts");
    return listWorkers(values);
  },
});
