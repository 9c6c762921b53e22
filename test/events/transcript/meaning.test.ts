import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { EventKind } from "../../../gen/tailrace/v1/event_pb.ts";
import { CommandStatus, OutputStream, WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { RunResult, ToolCallStateSchema } from "../../../gen/tailrace/v1/transcript_pb.ts";
import { limits } from "../../../src/base/limits.ts";
import { foldTranscript, transcriptKinds } from "../../../src/events/transcript/fold.ts";
import { emptyTranscript, type TranscriptState } from "../../../src/events/transcript/state.ts";
import { eventsOf, type PayloadInit } from "./arbitrary.ts";

function say(name: string, value: object = {}): PayloadInit {
  return { case: name, value } as unknown as PayloadInit;
}

function fold(...payloads: readonly PayloadInit[]): TranscriptState {
  return eventsOf(payloads).reduce(foldTranscript, emptyTranscript());
}

const delta = (blockId: string, offset: number, text: string) =>
  say("textDelta", { blockId, offset: BigInt(offset), text });

/** What each entry is and holds, in short. */
function entries(state: TranscriptState): unknown[] {
  return [...state.entries].map(({ content, isFinal, truncated }) => {
    const marks = `${isFinal ? "" : " (open)"}${truncated ? " (truncated)" : ""}`;
    if (content.case === "text" || content.case === "thinking") return `${content.case}: ${content.value.text}${marks}`;
    if (content.case !== "toolCall") return `${content.case}${marks}`;
    const { name, argumentsJson, state, result } = content.value;
    return `${name}(${argumentsJson}) ${ToolCallStateSchema.value[state]?.localName} ${result?.summary ?? "-"}${marks}`;
  });
}

describe("a block of text", () => {
  test("grows by what lies beyond its end, in bytes", () => {
    expect(entries(fold(delta("b", 0, "é€"), delta("b", 5, "😀"), delta("b", 9, "!")))).toEqual(["text: é€😀! (open)"]);
    expect(entries(fold(delta("b", 0, "one"), delta("b", 0, "one two"), delta("b", 2, "e")))).toEqual([
      "text: one two (open)",
    ]);
    // A piece that overlaps in the middle of a character adds whole characters only.
    expect(entries(fold(delta("b", 0, "ab"), delta("b", 1, "€cd")))).toEqual(["text: abcd (open)"]);
  });

  test("keeps only what follows a hole, and says so", () => {
    expect(entries(fold(delta("b", 0, "lost"), delta("b", 9, "kept"), delta("b", 13, " on")))).toEqual([
      "text: kept on (open) (truncated)",
    ]);
    // The whole text at the end heals it.
    expect(entries(fold(delta("b", 9, "end"), say("textDone", { blockId: "b", text: "the whole text" })))).toEqual([
      "text: the whole text",
    ]);
  });

  test("without an id is the one in flight; a new one begins when that is done", () => {
    const state = fold(
      delta("", 0, "one"),
      say("textDone"),
      delta("", 0, "two"),
      say("thinkingDelta", { text: "hm" }),
      delta("", 3, "!"),
    );
    expect(entries(state)).toEqual(["text: one", "text: two! (open)", "thinking: hm (open)"]);
  });

  test("that is done takes nothing more, and one that was never begun can be said as a whole", () => {
    expect(entries(fold(delta("b", 0, "a"), say("textDone", { blockId: "b" }), delta("b", 1, "b")))).toEqual([
      "text: a",
    ]);
    expect(entries(fold(say("textDone", { text: "whole" }), say("textDone", { blockId: "x" })))).toEqual([
      "text: whole",
    ]);
  });

  test("that is too long keeps its newest part, and its offsets", () => {
    const piece = "é".repeat(16 * 1024);
    const pieces = Array.from({ length: 20 }, (_, n) => delta("b", n * 32 * 1024, piece));
    const state = fold(...pieces, delta("b", 20 * 32 * 1024, "end"));
    const { content, truncated } = state.entries.get(1) ?? {};
    if (content?.case !== "text") throw new Error("no text");
    const { text, startOffset, endOffset } = content.value;
    expect([truncated, Number(endOffset), text.endsWith("éend")]).toEqual([true, 20 * 32 * 1024 + 3, true]);
    expect(Buffer.byteLength(text)).toBe(Number(endOffset - startOffset));
    expect(Buffer.byteLength(text)).toBeGreaterThanOrEqual(limits.maxTranscriptTextBytes / 2);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(limits.maxTranscriptTextBytes);
  });

  test("survives an offset that no text can have", () => {
    expect(
      entries(fold(delta("b", 0, "a"), say("textDelta", { blockId: "b", offset: 2n ** 64n - 1n, text: "b" }))),
    ).toEqual(["text: a (open)"]);
  });
});

describe("a tool call", () => {
  const started = say("toolCallStarted", { toolCallId: "t", name: "run" });
  const piece = (offset: number, json: string) =>
    say("toolCallArgumentsDelta", { toolCallId: "t", offset: BigInt(offset), json });
  const done = say("toolCallDone", { toolCallId: "t", name: "run", argumentsJson: '{"n":1}' });
  const result = say("toolResult", { toolCallId: "t", summary: "fine", output: "all of it" });

  test("goes from its announcement over its arguments to its result", () => {
    expect(entries(fold(started))).toEqual(["run() PENDING - (open)"]);
    expect(entries(fold(started, piece(0, '{"n'), piece(3, '":')))).toEqual([
      'run({"n":) STREAMING_ARGUMENTS - (open)',
    ]);
    expect(entries(fold(started, piece(0, '{"n'), done))).toEqual(['run({"n":1}) DONE - (open)']);
    expect(entries(fold(started, done, result))).toEqual(['run({"n":1}) DONE fine']);
  });

  test("keeps the arguments that came in pieces when its end says none", () => {
    const end = say("toolCallDone", { toolCallId: "t", name: "run" });
    expect(entries(fold(started, piece(0, '{"n"'), piece(4, ":1}"), end))).toEqual(['run({"n":1}) DONE - (open)']);
    expect(entries(fold(started, piece(4, ":1}"), end, result))).toEqual(["run(:1}) DONE fine (truncated)"]);
    expect(entries(fold(started, end, piece(0, "late")))).toEqual(["run() DONE - (open)"]);
    expect(entries(fold(end))).toEqual(["run() DONE - (open)"]);
  });

  test("changes no more once it has its result, and needs no announcement", () => {
    const other = say("toolResult", { toolCallId: "t", summary: "other" });
    expect(entries(fold(started, done, result, other, done, started, piece(9, "x")))).toEqual([
      'run({"n":1}) DONE fine',
    ]);
    expect(entries(fold(result))).toEqual(["() DONE fine"]);
    expect(entries(fold(piece(4, "late"), started))).toEqual(["run(late) STREAMING_ARGUMENTS - (open) (truncated)"]);
  });

  test("gets its result also after the run ended", () => {
    expect(entries(fold(started, done, say("runEnded", { result: RunResult.FINISHED }), result))).toEqual([
      'run({"n":1}) DONE fine',
      "runEnded",
    ]);
  });
});

describe("what is in flight", () => {
  const flying = [
    delta("b", 0, "text"),
    say("thinkingStarted"),
    say("toolCallStarted", { toolCallId: "t", name: "run" }),
  ];
  const allOpen = ["text: text (open)", "thinking:  (open)", "run() PENDING - (open)"];

  test.each(["turnStarted", "turnEnded", "modelCallRetried", "transcriptSegmentRotated"])("%s ends blocks", (kind) => {
    expect(entries(fold(...flying, say(kind)))).toEqual(["text: text", "thinking: ", "run() PENDING - (open)"]);
  });

  test("ends with its run or its worker, and not when the run is paused", () => {
    const closed = ["text: text", "thinking: ", "run() PENDING -"];
    expect(entries(fold(...flying, say("runEnded", { result: RunResult.FINISHED })))).toEqual([...closed, "runEnded"]);
    expect(entries(fold(...flying, say("runEnded", { result: RunResult.PAUSED })))).toEqual([...allOpen, "runEnded"]);
    expect(entries(fold(...flying, say("workerEnded")))).toEqual(closed);
  });

  test("is bounded in number: the oldest counts as complete", () => {
    const count = limits.maxOpenTranscriptEntries + 2;
    const state = fold(...Array.from({ length: count }, (_, n) => delta(`b${n}`, 0, "x")));
    expect(state.openEntries.length).toBe(limits.maxOpenTranscriptEntries);
    expect([...state.entries].slice(0, 3).map(({ isFinal }) => isFinal)).toEqual([true, true, false]);
  });
});

describe("a rewind", () => {
  const history = [
    say("userMessage", { messageId: "m1" }),
    delta("b", 0, "answer"),
    say("userMessage", { messageId: "m2" }),
    say("toolCallStarted", { toolCallId: "t", name: "run" }),
  ];

  test("takes back the place and what follows, and never gives its numbers again", () => {
    const state = fold(...history, say("rewindApplied", { targetId: "m2" }), say("userMessage", { messageId: "m2" }));
    expect(entries(state)).toEqual(["userMessage", "text: answer (open)", "rewindApplied", "userMessage"]);
    expect([...state.entries].map(({ entryNumber }) => Number(entryNumber))).toEqual([1, 2, 5, 6]);
    expect([state.droppedEntries, state.replaced]).toEqual([0, 11]);
  });

  test("to a place that the transcript does not know takes nothing back", () => {
    const state = fold(...history, say("rewindApplied", { targetId: "elsewhere" }));
    expect(state.entries.length).toBe(5);
    expect(state.replaced).toBe(0);
  });
});

describe("a snapshot", () => {
  test("replaces everything, and what it says is unfinished goes on", () => {
    const snapshot = say("transcriptSnapshot", {
      entriesJson: ['{"n":1}', '{"n":2}'],
      greeting: { workerName: "agent" },
      status: WorkerState.PAUSED,
      inFlight: {
        blocks: [
          { content: { case: "thinking", value: { text: "thought", finished: true } } },
          { content: { case: "text", value: { text: "half " } } },
          { content: { case: "toolCall", value: { toolCallId: "t", name: "run", argumentsJson: "{", state: 2 } } },
        ],
        commands: [
          {
            commandId: "c",
            status: CommandStatus.RUNNING,
            running: durationFromMs(1000),
            stdout: { endOffset: 2n, content: Buffer.from("ok") },
          },
        ],
      },
    });
    const state = fold(
      say("userMessage"),
      say("commandStarted", { commandId: "old" }),
      snapshot,
      delta("", 5, "and whole"),
      say("toolCallArgumentsDelta", { toolCallId: "t", offset: 1n, json: "}" }),
    );
    expect(entries(state)).toEqual([
      "greeting",
      "snapshotEntryJson",
      "snapshotEntryJson",
      "thinking: thought",
      "text: half and whole (open)",
      "run({}) STREAMING_ARGUMENTS - (open)",
    ]);
    expect([state.workerState, state.droppedEntries, state.entries.first?.entryNumber]).toEqual([
      WorkerState.PAUSED,
      0,
      2n,
    ]);
    expect(state.commands).toMatchObject([{ commandId: "c", startTime: { seconds: 1_699_999_999n } }]);
  });

  test("of more entries than are kept counts the ones that it drops", () => {
    const start = emptyTranscript({ maxEntries: 10, maxBytes: 100_000 });
    const [event] = eventsOf([say("transcriptSnapshot", { entriesJson: Array.from({ length: 100_000 }, () => "1") })]);
    const state = foldTranscript(start, event as NonNullable<typeof event>);
    expect([state.entries.length, state.droppedEntries, state.nextEntryNumber]).toEqual([10, 99_990, 100_001]);
  });
});

describe("commands", () => {
  const output = (
    commandId: string,
    startOffset: number,
    content: string,
    stream: OutputStream = OutputStream.STDOUT,
  ) => say("commandOutput", { commandId, stream, startOffset: BigInt(startOffset), content: Buffer.from(content) });

  test("show the end of their output, by offset", () => {
    const half = "x".repeat(limits.maxCommandTailBytes / 2 + 1);
    const state = fold(
      say("commandStarted", { commandId: "c", toolCallId: "t", command: "make" }),
      output("c", 0, half),
      output("c", 0, half),
      output("c", half.length, half),
      output("c", 2 * half.length, "end"),
      output("c", 5, "late", OutputStream.STDERR),
    );
    const [command] = state.commands;
    expect(command).toMatchObject({ commandId: "c", toolCallId: "t", command: "make", status: CommandStatus.RUNNING });
    expect(command?.stdout).toMatchObject({ startOffset: 5n, endOffset: BigInt(2 * half.length + 3), truncated: true });
    expect(Buffer.from(command?.stdout?.content ?? []).toString()).toBe(
      `${"x".repeat(limits.maxCommandTailBytes - 3)}end`,
    );
    expect(command?.stderr).toMatchObject({ startOffset: 5n, endOffset: 9n, truncated: true });
  });

  test("stay for a while after their end, those that ended first make room first", () => {
    const starts = Array.from({ length: limits.maxTranscriptCommands }, (_, n) =>
      say("commandStarted", { commandId: `c${n}` }),
    );
    const ended = say("commandEnded", { commandId: "c3", status: CommandStatus.FAILED, exitCode: 2 });
    const full = fold(...starts, ended);
    expect(full.commands[3]).toMatchObject({ status: CommandStatus.FAILED, exitCode: 2 });
    const unsaid = (exitCode?: number) =>
      fold(...starts, say("commandEnded", { commandId: "c3", ...(exitCode === undefined ? {} : { exitCode }) }))
        .commands[3]?.status;
    expect([unsaid(), unsaid(0), unsaid(2)]).toEqual([
      CommandStatus.COMPLETED,
      CommandStatus.COMPLETED,
      CommandStatus.FAILED,
    ]);
    const ids = (state: TranscriptState) => state.commands.map(({ commandId }) => commandId);
    expect(ids(fold(...starts, ended, say("commandStarted", { commandId: "new" })))).toEqual([
      "c0",
      "c1",
      "c2",
      "c4",
      "c5",
      "c6",
      "c7",
      "new",
    ]);
    expect(ids(fold(...starts, ended, say("runEnded", { result: RunResult.FINISHED })))).not.toContain("c3");
  });
});

test("every other kind of a transcript changes nothing, and no one need watch it", () => {
  for (const kind of [
    "invocationStarted",
    "modelCallStarted",
    "modelCallEnded",
    "modelCallContinued",
    "usage",
    "compactionStarted",
    "rewindTargets",
    "memoryWorkerReport",
    "output",
  ]) {
    const [event] = eventsOf([say(kind)]);
    const state = emptyTranscript();
    expect(foldTranscript(state, event as NonNullable<typeof event>)).toBe(state);
  }
  expect(transcriptKinds.has(EventKind.TEXT_DELTA)).toBe(true);
  expect(transcriptKinds.has(EventKind.USAGE)).toBe(false);
});
