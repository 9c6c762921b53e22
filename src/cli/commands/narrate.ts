import { openDoor } from "../../base/door.ts";
import { usageError } from "../options/parse.ts";
import { commandServerOption, serverOption } from "../options/server-option.ts";
import { defineCommand, value } from "../options/spec.ts";
import { amount, anyText, jobId, oneOf, workerId } from "../options/values.ts";

export const narrateOptions = {
  action: value("NAME", "Short name of what happens, for programs. Default: log.", anyText),
  level: value("LEVEL", "debug, info (default), warn or error.", oneOf("debug", "info", "warn", "error")),
  actor: value("NAME", "Who says it. Default: the worker.", anyText),
  target: value("NAME", "What the action is done to.", anyText),
  done: value("N", "Says progress instead: how much is done.", amount),
  total: value("N", "How much there is in all. Only with --done.", amount),
  unit: value("UNIT", "What is counted, for example files or bytes. Only with --done.", anyText),
  task: value("NAME", "What progresses, so that several can run side by side. Only with --done.", anyText),
  job: value("ID", "Job that says it. Default: TAILRACE_JOB_ID.", jobId),
  worker: value("ID", "Worker that says it. Default: TAILRACE_WORKER_ID.", workerId),
  server: serverOption,
  "command-server": commandServerOption,
} as const;

const ofProgress = ["total", "unit", "task"] as const;
const ofNarration = ["action", "level", "actor", "target"] as const;

export const narrateCommand = defineCommand({
  name: "narrate",
  summary: "Say something for people, from a script that runs in a job.",
  operands: "MESSAGE",
  description: [
    "Publishes one narration, or with --done one progress, and settles after its commit. A script that runs as the command of a job needs no options: TAILRACE_SERVER, TAILRACE_JOB_ID and TAILRACE_JOB_TOKEN are in its environment. Elsewhere give --worker.",
    "It tries once: a script should not hang because nobody can hear it. Exit code 4 if the server can't be reached, 1 if the job has ended.",
  ],
  options: narrateOptions,
  examples: [
    ['tailrace narrate --action clone "fetching the sources"', "in a script of a job"],
    ["tailrace narrate --done 3 --total 10 --unit files", "how far it is"],
    ['tailrace narrate --worker deploy --level warn "disk almost full"', "outside of a job"],
  ],
  async run(values, operands): Promise<number> {
    const misplaced = (values.done === undefined ? ofProgress : ofNarration).find((name) => values[name] !== undefined);
    if (misplaced !== undefined) {
      const where = values.done === undefined ? "Only with --done N." : "Not together with --done.";
      throw usageError("narrate", `--${misplaced}`, where);
    }
    if (operands.join("").trim() === "" && values.done === undefined) {
      throw usageError("narrate", "MESSAGE", 'The message is missing: tailrace narrate "fetching the sources".');
    }
    const door = { part: "tailrace narrate", packages: ["@connectrpc/connect", "@connectrpc/connect-node"] } as const;
    const { narrate } = await openDoor(door, () => import("../jobs/narrate.ts"));
    return narrate(values, operands.join(" "));
  },
});
