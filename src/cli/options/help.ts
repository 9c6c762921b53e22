import type { Command, OptionSpec } from "./spec.ts";

const columns = 100;

/** The help of one command. */
export function commandHelp(command: Command): string {
  const rows: [string, string][] = Object.entries(command.options).map(([name, spec]) => [
    optionTitle(name, spec),
    spec.description,
  ]);
  rows.push(["-h, --help", "Print this help."]);
  const operands = command.operands === undefined ? "" : ` ${command.operands}`;
  return [
    `Usage: tailrace ${command.name} [OPTIONS]${operands}`,
    "",
    ...command.description.flatMap((paragraph) => [...wrapped(paragraph, columns), ""]),
    "Options:",
    ...table(rows),
    "",
    "Examples:",
    ...command.examples.flatMap(([line, purpose]) => [`  # ${purpose}`, `  ${line}`]),
    "",
  ].join("\n");
}

/** The help of the whole command line. */
export function programHelp(commands: readonly Command[]): string {
  return [
    "Usage: tailrace COMMAND [OPTIONS]",
    "",
    "Resumable event streams for worker runtimes.",
    "",
    "Commands:",
    ...table(commands.map((command) => [command.name, command.summary])),
    "",
    "Options:",
    ...table([
      ["-h, --help", "Print this help; `tailrace COMMAND --help` prints the command's."],
      ["-V, --version", "Print the version."],
    ]),
    "",
    "Environment:",
    ...table([
      ["TAILRACE_SERVER", "Server of every command that takes --server; default http://127.0.0.1:7433."],
      ["TAILRACE_JOB_*", "Set for the command of a job, so that `tailrace narrate` in it needs no options."],
      [
        "TAILRACE_NATS_*",
        "PASSWORD or TOKEN for a log in NATS, instead of a file; without such a log they are ignored.",
      ],
      ["NO_COLOR", "If set and not empty, output has no colours."],
    ]),
    "",
    "Exit codes:",
    ...table([
      ["0", "Done."],
      ["1", "Failed."],
      ["2", "The arguments or the input make no sense."],
      ["3", "The cursor is gone: what came after it is no longer retained."],
      ["4", "The server can't be reached."],
      ["124, 130", "`tailrace submit`: the job timed out, or was cancelled."],
      ["other", "`tailrace run` ends with its command's own code; 128 + N if signal N ended it."],
    ]),
    "",
    "Examples:",
    "  # run a command as a worker, and watch it from another terminal",
    "  tailrace run -- make -j4",
    "  tailrace watch",
    "  # run an operation of the server's configuration as a job",
    "  tailrace submit clone url=https://example.com/repo.git",
    "  # keep a server up, publish to it, and follow one worker across restarts of either side",
    "  tailrace serve --data ./tailrace-data",
    "  tailrace run --server http://127.0.0.1:7433 --worker build -- make -j4",
    "  tailrace watch --worker build --checkpoint ./build.cursor",
    "",
  ].join("\n");
}

function optionTitle(name: string, spec: OptionSpec): string {
  if (spec.kind === "flag") return spec.short === undefined ? `--${name}` : `-${spec.short}, --${name}`;
  return `--${name} ${spec.placeholder}`;
}

function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.min(30, Math.max(...rows.map(([title]) => title.length)));
  return rows.flatMap(([title, text]) => {
    const lines = wrapped(text, columns - width - 4);
    const first = title.length <= width ? [`  ${title.padEnd(width)}  ${lines[0] ?? ""}`] : [`  ${title}`];
    const rest = title.length <= width ? lines.slice(1) : lines;
    return [...first, ...rest.map((line) => `${" ".repeat(width + 4)}${line}`)];
  });
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines;
}
