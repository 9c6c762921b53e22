import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import { OutputStream } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { limits } from "../../base/limits.ts";
import { exitCodes } from "../exit-codes.ts";
import type { RuntimeSettings } from "../options/runtime-options.ts";
import { reportError, say } from "../report.ts";
import { signalExitCode } from "../stop-signals.ts";
import { type Child, type CommandEnd, sendSignal, startChild } from "./child.ts";
import { Pump } from "./pump.ts";
import { Recorder } from "./recorder.ts";
import { ownRuntime, remoteServer, type Target } from "./target.ts";

export interface RunRequest {
  readonly file: string;
  readonly args: readonly string[];
  /** Undefined: one is made up. */
  readonly workerId: string | undefined;
  readonly quiet: boolean;
  readonly target:
    | { readonly kind: "own"; readonly settings: RuntimeSettings }
    | { readonly kind: "server"; readonly url: string; readonly watchUrl: string };
}

/** Signals that are the command's to answer. */
const forwardedSignals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/** `tailrace run`: a command as a worker. Gives the command's exit code. */
export async function run(request: RunRequest): Promise<number> {
  const name = basename(request.file);
  const workerId = request.workerId ?? madeUpId(name);
  const signals = new SignalRelay();
  const target =
    request.target.kind === "own"
      ? await ownRuntime(request.target.settings)
      : remoteServer(request.target.url, request.target.watchUrl, request.quiet);
  let end: CommandEnd;
  try {
    end = await record(request, target, workerId, name, signals);
  } finally {
    await target.finish(signals.afterEnd);
    signals.close();
  }
  return exitCodeOfCommand(end);
}

async function record(
  request: RunRequest,
  target: Target,
  workerId: string,
  name: string,
  signals: SignalRelay,
): Promise<CommandEnd> {
  const pumps: Pump[] = [];
  const recorder = new Recorder(
    target.publish,
    workerId,
    () => {
      for (const pump of pumps) pump.roomInLog();
    },
    (error) => {
      // The command is someone's work: it goes on, also when nobody can watch it any more.
      reportError(error);
      say("the rest of the output is not recorded; the command goes on");
      for (const pump of pumps) pump.roomInLog();
    },
  );
  await recorder.started(name);
  target.begin();
  if (!request.quiet) {
    if (request.target.kind === "own") process.stderr.write(`tailrace ready ${target.url}\n`);
    say(`worker ${workerId}; watch it with: tailrace watch --server ${target.url} --worker ${shellWord(workerId)}`);
  }
  // With a terminal as stdin the command stays in our process group: it can read from the terminal, which sends its Ctrl-C
  // to the whole group by itself. Without one it leads a group of its own, so that a signal reaches all that it started and
  // nothing else.
  const sharesTerminal = process.stdin.isTTY === true;
  const child = await startChild(request.file, request.args, { stdin: "inherit", ownGroup: !sharesTerminal });
  signals.relayTo((signal) => forward(child, signal, sharesTerminal));
  pumps.push(
    new Pump({
      source: child.stdout,
      destination: process.stdout,
      record: (data) => recorder.output(OutputStream.STDOUT, data),
    }),
    new Pump({
      source: child.stderr,
      destination: process.stderr,
      record: (data) => recorder.output(OutputStream.STDERR, data),
    }),
  );
  const end = await child.ended;
  // What the command started may still hold its output; that belongs to it, until someone does not want to wait.
  const leave = () => {
    for (const pump of pumps) pump.stop();
  };
  signals.commandEnded(leave);
  if (end.kind === "not_started") {
    leave();
    say(`${request.file}: ${end.message}`);
  }
  await Promise.all(pumps.map((pump) => pump.done));
  await Promise.all(pumps.map((pump) => pump.flushed()));
  await Promise.race([recorder.ended(end, signals.received), aborted(signals.afterEnd)]);
  if (recorder.uncommittedBytes > 0) say(`${recorder.uncommittedBytes} bytes of output could not be published`);
  return end;
}

function forward(child: Child, signal: NodeJS.Signals, sharesTerminal: boolean): void {
  if (sharesTerminal && (signal === "SIGINT" || signal === "SIGQUIT")) return;
  if (child.pid !== undefined) sendSignal(sharesTerminal ? child.pid : -child.pid, signal);
}

/** Passes signals on to the command while it runs; once it has ended, the next one means "do not wait any longer". */
class SignalRelay {
  readonly #afterEnd = new AbortController();
  readonly #listener = (signal: NodeJS.Signals) => this.#take(signal);
  #forward: ((signal: NodeJS.Signals) => void) | undefined;
  #ended = false;
  /** Whether anyone asked the command to stop. */
  received = false;

  constructor() {
    for (const signal of forwardedSignals) process.on(signal, this.#listener);
  }

  /** Aborts when nothing is to be waited for any more. */
  get afterEnd(): AbortSignal {
    return this.#afterEnd.signal;
  }

  relayTo(forward: (signal: NodeJS.Signals) => void): void {
    this.#forward = forward;
  }

  commandEnded(leave: () => void): void {
    this.#ended = true;
    this.afterEnd.addEventListener("abort", leave, { once: true });
  }

  close(): void {
    for (const signal of forwardedSignals) process.off(signal, this.#listener);
  }

  #take(signal: NodeJS.Signals): void {
    // Before the command there is nothing to lose, and after it whoever asks twice does not want to wait.
    if (this.#forward === undefined || this.#afterEnd.signal.aborted) process.exit(signalExitCode(signal));
    if (this.#ended) {
      this.#forward(signal);
      this.#afterEnd.abort();
      return;
    }
    this.received = true;
    this.#forward(signal);
  }
}

function exitCodeOfCommand(end: CommandEnd): number {
  switch (end.kind) {
    case "exited":
      return end.exitCode;
    case "killed":
      return signalExitCode(end.signal);
    case "not_started":
      return end.reason === "not_found" ? exitCodes.notFound : exitCodes.notExecutable;
  }
}

/** Random, because a worker's end is final: the same command run again is another worker. */
function madeUpId(name: string): string {
  const random = randomBytes(4).toString("hex");
  return `${Buffer.from(name)
    .subarray(0, limits.maxIdBytes - 9)
    .toString("latin1")
    .replace(/[^\w.-]/g, "_")}-${random}`;
}

/** A word as a shell takes it. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
