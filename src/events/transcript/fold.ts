import { EventKind } from "../../../gen/tailrace/v1/event_pb.ts";
import { WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { RunResult, ToolCallState, type TranscriptSnapshot } from "../../../gen/tailrace/v1/transcript_pb.ts";
import type { TranscriptToolCall } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { limits } from "../../base/limits.ts";
import { kindByCase } from "../kinds.ts";
import { foldWorker, unknownWorker } from "../worker-facts.ts";
import { commandEnded, commandOutput, commandStarted, commandsOfSnapshot, withoutEnded } from "./commands.ts";
import { Draft, type FoldedEvent } from "./draft.ts";
import {
  type BlockKind,
  blockContent,
  boundedResult,
  type EntryContent,
  newToolCall,
  shortName,
  textRun,
  withArguments,
  withArgumentsPiece,
  withText,
} from "./entries.ts";
import type { TranscriptState } from "./state.ts";
import { emptyRun, putPiece, wholeRun } from "./text-run.ts";

type Payload = FoldedEvent["payload"];
type Case = NonNullable<Payload["case"]>;
type Value<C extends Case> = Extract<Payload, { case: C }>["value"];

/** What the kinds mean for a transcript (docs/protocol.md, "Transcript"). Kinds that are not here mean nothing for it. */
const handlers: { readonly [C in Case]?: (draft: Draft, value: Value<C>) => void } = {
  workerStopped: foldState,
  workerCancelled: foldState,
  workerUpdated: foldState,
  workerRestored: foldState,
  workerStatus: foldState,
  workerEnded: endWorker,
  workerRemoved: endWorker,

  commandStarted: (draft, value) => {
    draft.commands = commandStarted(draft.commands, value, draft.event.time);
  },
  commandOutput: (draft, value) => {
    draft.commands = commandOutput(draft.commands, value, draft.event.time);
  },
  commandEnded: (draft, value) => {
    draft.commands = commandEnded(draft.commands, value, draft.event.time);
  },

  greeting: (draft, value) => draft.add({ case: "greeting", value }),
  userMessage: (draft, value) => draft.add({ case: "userMessage", value }),
  systemItem: (draft, value) => draft.add({ case: "systemItem", value }),
  workerFault: (draft, value) => draft.add({ case: "fault", value }),
  compactionDone: (draft, value) => draft.add({ case: "compaction", value }),
  compactionFailed: (draft, value) => draft.add({ case: "compactionFailed", value }),

  turnStarted: (draft, value) => {
    draft.closeOpen("blocks");
    draft.turn = value.turn;
  },
  turnEnded: (draft) => {
    draft.closeOpen("blocks");
    draft.turn = 0n;
  },
  // What comes next is a new answer of the model, or a new segment, whose blocks begin at zero again.
  modelCallRetried: (draft) => draft.closeOpen("blocks"),
  transcriptSegmentRotated: (draft) => draft.closeOpen("blocks"),

  textDelta: (draft, value) => putDelta(draft, "text", value),
  textDone: (draft, value) => finishBlock(draft, "text", value),
  thinkingStarted: (draft, value) => startThinking(draft, shortName(value.blockId)),
  thinkingDelta: (draft, value) => putDelta(draft, "thinking", value),
  thinkingDone: (draft, value) => finishBlock(draft, "thinking", value),

  toolCallStarted: (draft, value) => startToolCall(draft, shortName(value.toolCallId), value.name),
  toolCallArgumentsDelta: putArguments,
  toolCallDone: finishToolCall,
  toolResult: putResult,

  runEnded: (draft, value) => {
    // A run that was paused goes on where it is.
    if (value.result !== RunResult.PAUSED) draft.closeOpen("all");
    draft.commands = withoutEnded(draft.commands);
    draft.add({ case: "runEnded", value });
  },
  transcriptSnapshot: replaceAll,
  rewindApplied: (draft, value) => {
    const target = value.targetId === "" ? undefined : draft.find(places, shortName(value.targetId));
    if (target !== undefined) draft.removeFrom(target);
    draft.add({ case: "rewindApplied", value });
  },
};

/** Kinds of events that can change a transcript: what a reader of one watches. */
export const transcriptKinds: ReadonlySet<EventKind> = new Set(
  Object.keys(handlers).map((name) => kindByCase.get(name) as EventKind),
);

/** Kinds that only tell about the worker: they make no transcript where there is none. */
export const workerOnlyKinds: ReadonlySet<EventKind> = new Set([
  EventKind.WORKER_STOPPED,
  EventKind.WORKER_CANCELLED,
  EventKind.WORKER_UPDATED,
  EventKind.WORKER_RESTORED,
  EventKind.WORKER_STATUS,
  EventKind.WORKER_ENDED,
  EventKind.WORKER_REMOVED,
]);

/**
 * The transcript after an event of its worker. Events come in order; one that is in there already (by its sequence)
 * changes nothing.
 */
export function foldTranscript(state: TranscriptState, event: FoldedEvent): TranscriptState {
  const { payload } = event;
  if (payload.case === undefined || Number(event.sequence) <= state.sequence) return state;
  const handle = handlers[payload.case] as ((draft: Draft, value: unknown) => void) | undefined;
  if (handle === undefined) return state;
  const draft = new Draft(state, event);
  handle(draft, payload.value);
  return draft.finish();
}

/** Entries that a rewind can name. */
const places: readonly EntryContent["case"][] = ["userMessage", "text", "thinking", "toolCall"];

function foldState(draft: Draft): void {
  draft.workerState = foldWorker({ ...unknownWorker, state: draft.workerState }, draft.event.payload).state;
}

function endWorker(draft: Draft): void {
  foldState(draft);
  draft.closeOpen("all");
}

interface BlockDelta {
  readonly blockId: string;
  readonly offset: bigint;
  readonly text: string;
}

function putDelta(draft: Draft, kind: BlockKind, delta: BlockDelta): void {
  const blockId = shortName(delta.blockId);
  const maxBytes = limits.maxTranscriptTextBytes;
  const entryNumber = findBlock(draft, kind, blockId);
  if (entryNumber === undefined) {
    draft.add(blockContent(kind, blockId, putPiece(emptyRun, delta.offset, delta.text, maxBytes)), { open: true });
    return;
  }
  if (!draft.isOpen(entryNumber)) return;
  draft.update(entryNumber, ({ content }) => {
    if (content.case !== kind) return undefined;
    const before = textRun(content.value);
    const run = putPiece(before, delta.offset, delta.text, maxBytes);
    return run === before
      ? undefined
      : { content: { case: kind, value: withText(content.value, run) } as EntryContent };
  });
}

function finishBlock(draft: Draft, kind: BlockKind, done: { readonly blockId: string; readonly text: string }): void {
  const blockId = shortName(done.blockId);
  const run = done.text === "" ? undefined : wholeRun(done.text, limits.maxTranscriptTextBytes);
  const entryNumber = findBlock(draft, kind, blockId);
  if (entryNumber === undefined) {
    if (run !== undefined) draft.add(blockContent(kind, blockId, run));
    return;
  }
  if (!draft.isOpen(entryNumber)) return;
  draft.forgetOpen(entryNumber);
  draft.update(entryNumber, ({ content }) => {
    if (run === undefined || content.case !== kind) return { isFinal: true };
    const value = withText(content.value, run);
    return { isFinal: true, truncated: false, content: { case: kind, value } as EntryContent };
  });
}

/** Without an id: the newest one in flight. */
function findBlock(draft: Draft, kind: BlockKind, blockId: string): number | undefined {
  return blockId === "" ? draft.newestOpen(kind) : draft.find([kind], blockId);
}

function startThinking(draft: Draft, blockId: string): void {
  if (blockId === "") {
    const current = draft.newestOpen("thinking");
    if (current !== undefined) draft.close(current);
  } else if (draft.find(["thinking"], blockId) !== undefined) {
    return;
  }
  draft.add(blockContent("thinking", blockId, emptyRun), { open: true });
}

function startToolCall(draft: Draft, toolCallId: string, name: string): void {
  const entryNumber = draft.find(["toolCall"], toolCallId);
  if (entryNumber === undefined) {
    draft.add({ case: "toolCall", value: newToolCall(toolCallId, name, ToolCallState.PENDING) }, { open: true });
    return;
  }
  updateCall(draft, entryNumber, (call) =>
    call.name === "" && name !== "" ? { ...call, name: shortName(name) } : call,
  );
}

function putArguments(draft: Draft, delta: Value<"toolCallArgumentsDelta">): void {
  const toolCallId = shortName(delta.toolCallId);
  const state = ToolCallState.STREAMING_ARGUMENTS;
  const entryNumber = draft.find(["toolCall"], toolCallId);
  if (entryNumber === undefined) {
    const value = withArgumentsPiece(newToolCall(toolCallId, "", state), delta.offset, delta.json);
    draft.add({ case: "toolCall", value }, { open: true });
    return;
  }
  updateCall(draft, entryNumber, (call) => {
    if (call.state === ToolCallState.DONE) return call;
    const changed = withArgumentsPiece(call, delta.offset, delta.json);
    return changed === call ? call : { ...changed, state };
  });
}

function finishToolCall(draft: Draft, done: Value<"toolCallDone">): void {
  const toolCallId = shortName(done.toolCallId);
  const isWhole = done.argumentsJson !== "";
  const finished = (call: TranscriptToolCall): TranscriptToolCall => ({
    ...(isWhole ? withArguments(call, done.argumentsJson) : call),
    name: done.name === "" ? call.name : shortName(done.name),
    state: ToolCallState.DONE,
  });
  const entryNumber = draft.find(["toolCall"], toolCallId);
  if (entryNumber === undefined) {
    const value = finished(newToolCall(toolCallId, done.name, ToolCallState.DONE));
    draft.add({ case: "toolCall", value }, { open: true });
    return;
  }
  updateCall(draft, entryNumber, (call) => (call.state === ToolCallState.DONE ? call : finished(call)), isWhole);
}

function putResult(draft: Draft, given: Value<"toolResult">): void {
  const { result, cut } = boundedResult(given);
  const entryNumber = draft.find(["toolCall"], result.toolCallId);
  if (entryNumber === undefined) {
    const value = { ...newToolCall(result.toolCallId, "", ToolCallState.DONE), result };
    draft.add({ case: "toolCall", value }, { truncated: cut });
    return;
  }
  draft.forgetOpen(entryNumber);
  draft.update(entryNumber, ({ content, truncated }) => {
    // The first answer counts.
    if (content.case !== "toolCall" || content.value.result !== undefined) return undefined;
    const value = { ...content.value, result, state: ToolCallState.DONE };
    return { isFinal: true, truncated: truncated || cut, content: { case: "toolCall", value } };
  });
}

/** `whole`: the arguments are as a whole now, whatever was missing of them before. */
function updateCall(
  draft: Draft,
  entryNumber: number,
  change: (call: TranscriptToolCall) => TranscriptToolCall,
  whole = false,
): void {
  draft.update(entryNumber, ({ content, truncated }) => {
    if (content.case !== "toolCall") return undefined;
    const value = change(content.value);
    if (value === content.value) return undefined;
    return { content: { case: "toolCall", value }, truncated: truncated && !whole };
  });
}

/** A snapshot says all that the worker knows: what came before is taken back. */
function replaceAll(draft: Draft, snapshot: TranscriptSnapshot): void {
  draft.removeAll();
  draft.commands = commandsOfSnapshot(snapshot.inFlight?.commands ?? [], draft.event.time);
  if (snapshot.status !== WorkerState.UNSPECIFIED) draft.workerState = snapshot.status;
  if (snapshot.greeting !== undefined) draft.add({ case: "greeting", value: snapshot.greeting });
  const excess = Math.max(0, snapshot.entriesJson.length - draft.limits.maxEntries);
  draft.leaveOut(excess);
  for (const json of snapshot.entriesJson.slice(excess)) draft.add({ case: "snapshotEntryJson", value: json });
  const maxBytes = limits.maxTranscriptTextBytes;
  for (const { content } of snapshot.inFlight?.blocks ?? []) {
    if (content.case === "text" || content.case === "thinking") {
      const { text, finished } = content.value;
      draft.add(blockContent(content.case, "", wholeRun(text, maxBytes)), { open: !finished });
    } else if (content.case === "toolCall") {
      const { toolCallId, name, argumentsJson, state } = content.value;
      const call = withArguments(newToolCall(shortName(toolCallId), name, state), argumentsJson);
      draft.add({ case: "toolCall", value: call }, { open: true });
    }
  }
}
