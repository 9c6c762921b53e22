import { readFile } from "node:fs/promises";
import { cancelCommand } from "./commands/cancel.ts";
import { jobCommand } from "./commands/job.ts";
import { jobsCommand } from "./commands/jobs.ts";
import { migrateCommand } from "./commands/migrate.ts";
import { narrateCommand } from "./commands/narrate.ts";
import { publishCommand } from "./commands/publish.ts";
import { runCommandCommand } from "./commands/run.ts";
import { serveCommand } from "./commands/serve.ts";
import { startCommand } from "./commands/start.ts";
import { submitCommand } from "./commands/submit.ts";
import { transcriptCommand } from "./commands/transcript.ts";
import { watchCommand } from "./commands/watch.ts";
import { workersCommand } from "./commands/workers.ts";
import { exitCodes } from "./exit-codes.ts";
import { commandHelp, programHelp } from "./options/help.ts";
import { nearest, parseCommand, runCommand } from "./options/parse.ts";
import type { Command } from "./options/spec.ts";
import { reportError, say } from "./report.ts";

/** Commands in the order of the help. They import what they need when they run, so that help works with the core alone. */
const commands = [
  serveCommand,
  runCommandCommand,
  watchCommand,
  publishCommand,
  workersCommand,
  transcriptCommand,
  submitCommand,
  jobsCommand,
  jobCommand,
  startCommand,
  cancelCommand,
  narrateCommand,
  migrateCommand,
] as unknown as readonly Command[];

/** Runs a command line and ends the process with its exit code. */
export async function main(args: readonly string[]): Promise<void> {
  // Whoever reads us may leave (`| head`). Commands that write much notice by themselves; the others have nothing to add.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  // Waiting for a server to come back holds nothing that would keep the process alive.
  const alive = setInterval(() => undefined, 0x7fff_ffff);
  const code = await execute(args).catch(reportError);
  clearInterval(alive);
  await Promise.all([written(process.stdout), written(process.stderr)]);
  // Not `process.exitCode`: connections that are kept open for reuse would hold the process for a while.
  process.exit(code);
}

async function execute(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) {
    process.stderr.write(programHelp(commands));
    return exitCodes.usage;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    const [topic] = rest;
    const command = commands.find((candidate) => candidate.name === topic);
    process.stdout.write(command === undefined ? programHelp(commands) : commandHelp(command));
    return exitCodes.ok;
  }
  if (name === "--version" || name === "-V") {
    process.stdout.write(`${await version()}\n`);
    return exitCodes.ok;
  }
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) {
    const near = nearest(
      name,
      commands.map((candidate) => candidate.name),
    );
    const hint = near === undefined ? "" : ` Did you mean "${near}"?`;
    say(`"${name}" is no command.${hint} See \`tailrace --help\`.`);
    return exitCodes.usage;
  }
  const parsed = parseCommand(command, rest);
  if (parsed.kind === "help") {
    process.stdout.write(commandHelp(command));
    return exitCodes.ok;
  }
  return runCommand(command, parsed);
}

async function version(): Promise<string> {
  // Beside src/ in a checkout; the compiled file lies one directory deeper, in dist/.
  for (const path of ["../../package.json", "../../../package.json"]) {
    const text = await readFile(new URL(path, import.meta.url), "utf8").catch(() => undefined);
    if (text !== undefined) return (JSON.parse(text) as { version: string }).version;
  }
  return "unknown";
}

function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else {
      stream.once("close", resolve);
      stream.write("", () => resolve());
    }
  });
}
