import { usageError } from "../options/parse.ts";
import { runtimeOptions, settingsOf } from "../options/runtime-options.ts";
import { commandServerOption, namedCommandServer, watchServer } from "../options/server-option.ts";
import { defineCommand, flag, value } from "../options/spec.ts";
import { logChoice, serverUrl, workerId } from "../options/values.ts";

/** Options of a runtime of its own, which make no sense beside --server. */
const ownRuntime = Object.keys(runtimeOptions) as (keyof typeof runtimeOptions)[];

export const runCommandCommand = defineCommand({
  name: "run",
  summary: "Run a command as a worker: its output and its end become events.",
  operands: "-- CMD ARGS...",
  description: [
    "Runs CMD and passes its output through unchanged; lines of our own go to stderr. Every byte of it is published as it comes, and how it ended. The exit code is the command's own: 128 + N if signal N ended it, 127 if it was not found, 126 if it can't be executed.",
    "With --server (or TAILRACE_SERVER) it publishes to that server, over its restarts. Without, it serves a runtime of its own while the command runs, and for up to 5 seconds more while a watcher is behind; the log stays in --data.",
    "A worker's end is final, so every run needs an id of its own; without --worker it gets one. When the log is slower than the command, the command waits: at most 4 MiB of its output are held. Ctrl-C and SIGTERM are passed on to the command and what it started.",
  ],
  options: {
    worker: value("ID", "Id of the worker. Default: the command's name and random characters.", workerId),
    server: value("URL", "Publish to this server. Default: TAILRACE_SERVER, else a runtime of its own.", serverUrl),
    "command-server": commandServerOption,
    quiet: flag("No lines of our own on stderr, only errors.", "q"),
    ...runtimeOptions,
    log: value("KIND", "embedded (default: durable, in --data) or memory (nothing survives the process).", logChoice),
  },
  examples: [
    ["tailrace run -- make -j4", "a build that `tailrace watch` follows from another terminal"],
    ["tailrace run --server http://127.0.0.1:7433 --worker build-17 -- make -j4", "the same, kept by a server"],
    ["tailrace run --listen 127.0.0.1:0 --log memory -- ./train.py", "on a free port, keeping nothing"],
  ],
  async run(values, operands) {
    const [file, ...args] = operands;
    if (file === undefined) throw usageError("run", "CMD", "The command is missing: tailrace run -- CMD ARGS.");
    const own = ownRuntime.find((name) => values[name] !== undefined && values[name] !== false);
    const given = (["server", "command-server"] as const).find((name) => values[name] !== undefined);
    if (given !== undefined && own !== undefined) {
      throw usageError("run", `--${own}`, `Not together with --${given}, which has a runtime already.`);
    }
    if (typeof values.log === "object") {
      throw usageError("run", "--log", "A log in NATS is for `tailrace serve`; run the command with --server then.");
    }
    const server = own === undefined ? namedCommandServer(values) : undefined;
    const { run } = await import("../run/run.ts");
    return run({
      file,
      args,
      workerId: values.worker,
      quiet: values.quiet,
      target:
        server === undefined
          ? { kind: "own", settings: settingsOf("run", values) }
          : { kind: "server", url: server, watchUrl: watchServer(values) ?? server },
    });
  },
});
