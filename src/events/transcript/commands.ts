import { create } from "@bufbuild/protobuf";
import { durationMs, type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type CommandEnded,
  type CommandOutput,
  type CommandStarted,
  CommandStatus,
  OutputStream,
} from "../../../gen/tailrace/v1/payloads_pb.ts";
import { type InFlightCommand, type OutputSlice, OutputSliceSchema } from "../../../gen/tailrace/v1/transcript_pb.ts";
import { type TranscriptCommand, TranscriptCommandSchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../../base/limits.ts";
import { shortName } from "./entries.ts";

/** Commands of a transcript in the order of their start. Functions give the same list if nothing changed. */
export type Commands = readonly TranscriptCommand[];

export function commandStarted(commands: Commands, started: CommandStarted, time: Timestamp | undefined): Commands {
  const commandId = shortName(started.commandId);
  if (commands.some((command) => command.commandId === commandId)) return commands;
  const command = create(TranscriptCommandSchema, {
    commandId,
    toolCallId: shortName(started.toolCallId),
    command: started.command.slice(0, limits.maxCommandLineLength),
    status: CommandStatus.RUNNING,
    ...(time === undefined ? {} : { startTime: time }),
  });
  return bounded([...commands, command]);
}

export function commandOutput(commands: Commands, output: CommandOutput, time: Timestamp | undefined): Commands {
  const commandId = shortName(output.commandId);
  const known =
    commands.find((command) => command.commandId === commandId) ??
    create(TranscriptCommandSchema, { commandId, status: CommandStatus.RUNNING });
  const name = output.stream === OutputStream.STDERR ? "stderr" : "stdout";
  const slice = putBytes(known[name], Number(output.startOffset), output.content);
  if (slice === known[name]) return commands;
  return put(commands, { ...known, [name]: slice, ...(time === undefined ? {} : { outputTime: time }) });
}

export function commandEnded(commands: Commands, ended: CommandEnded, time: Timestamp | undefined): Commands {
  const commandId = shortName(ended.commandId);
  const known = commands.find((command) => command.commandId === commandId);
  // One that ended is over, and of one that was let go of nothing is left to tell.
  if (known === undefined || hasEnded(known)) return commands;
  const { exitCode } = ended;
  // That it ended is said, whether or not it is said how.
  const unsaid = exitCode === undefined || exitCode === 0 ? CommandStatus.COMPLETED : CommandStatus.FAILED;
  return put(commands, {
    ...known,
    status: hasEnded(ended) ? ended.status : unsaid,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(time === undefined ? {} : { endTime: time }),
  });
}

/** Those that run. */
export function withoutEnded(commands: Commands): Commands {
  return commands.some(hasEnded) ? commands.filter((command) => !hasEnded(command)) : commands;
}

/** The commands of a snapshot, whose times are told backwards from its own. */
export function commandsOfSnapshot(commands: readonly InFlightCommand[], time: Timestamp | undefined): Commands {
  const ago = (duration: InFlightCommand["running"]) => {
    if (duration === undefined || time === undefined) return undefined;
    const ms = timestampMs(time) - durationMs(duration);
    // A time that no clock shows can't be written as JSON.
    return ms >= 0 && ms <= timestampMs(time) ? timestampFromMs(ms) : undefined;
  };
  return commands.slice(-limits.maxTranscriptCommands).map((command) => {
    const startTime = ago(command.running);
    const outputTime = ago(command.sinceOutput);
    const { status, exitCode } = command;
    return create(TranscriptCommandSchema, {
      commandId: shortName(command.commandId),
      toolCallId: shortName(command.toolCallId),
      status,
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(startTime === undefined ? {} : { startTime }),
      ...(outputTime === undefined ? {} : { outputTime }),
      ...(hasEnded(command) && time !== undefined ? { endTime: time } : {}),
      ...(command.stdout === undefined ? {} : { stdout: tailOf(command.stdout) }),
      ...(command.stderr === undefined ? {} : { stderr: tailOf(command.stderr) }),
    });
  });
}

function hasEnded(command: Pick<TranscriptCommand, "status">): boolean {
  return command.status !== CommandStatus.RUNNING && command.status !== CommandStatus.UNSPECIFIED;
}

function put(commands: Commands, command: TranscriptCommand): Commands {
  const index = commands.findIndex(({ commandId }) => commandId === command.commandId);
  return index === -1 ? bounded([...commands, command]) : commands.with(index, command);
}

/** One that has ended goes before one that runs. */
function bounded(commands: TranscriptCommand[]): Commands {
  while (commands.length > limits.maxTranscriptCommands) {
    const ended = commands.findIndex(hasEnded);
    commands.splice(Math.max(0, ended), 1);
  }
  return commands;
}

function tailOf(slice: OutputSlice): OutputSlice {
  const start = Number(slice.startOffset);
  const tail = putBytes(undefined, start, slice.content);
  if (tail === undefined) return slice;
  return slice.truncated ? { ...tail, truncated: true } : tail;
}

/** Puts bytes at their offset, by the rules of `putPiece`; of a longer tail the newest bytes are kept. */
function putBytes(slice: OutputSlice | undefined, start: number, content: Uint8Array): OutputSlice | undefined {
  const end = start + content.length;
  const before = slice ?? create(OutputSliceSchema);
  const have = Number(before.endOffset);
  if (end <= have || !Number.isSafeInteger(end)) return slice;
  const joins = start <= have;
  const kept = joins ? before.content : new Uint8Array();
  const added = joins ? content.subarray(have - start) : content;
  const length = Math.min(limits.maxCommandTailBytes, kept.length + added.length);
  // A copy: what was decoded may be a view of a whole block of events.
  const tail = new Uint8Array(length);
  const ofAdded = Math.min(length, added.length);
  const ofKept = length - ofAdded;
  tail.set(kept.subarray(kept.length - ofKept), 0);
  tail.set(added.subarray(added.length - ofAdded), ofKept);
  return create(OutputSliceSchema, {
    startOffset: BigInt(end - length),
    endOffset: BigInt(end),
    content: tail,
    truncated: end - length > 0,
  });
}
