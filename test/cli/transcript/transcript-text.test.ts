import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { EventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { CommandStatus } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { TranscriptCommandSchema, TranscriptEntrySchema } from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { styleFor } from "../../../src/cli/output/style.ts";
import { PrettyEntries } from "../../../src/cli/transcript/transcript-text.ts";
import { foldTranscript } from "../../../src/events/transcript/fold.ts";
import { emptyTranscript } from "../../../src/events/transcript/state.ts";

type Payload = NonNullable<MessageInitShape<typeof EventSchema>["payload"]>;

/** What is shown after each event. */
function shownAfter(payloads: readonly Payload[]): string[] {
  const text = new PrettyEntries(styleFor({}, {}));
  let state = emptyTranscript();
  return payloads.map((payload, index) => {
    const before = state;
    state = foldTranscript(state, create(EventSchema, { sequence: BigInt(index + 1), payload }));
    return [...state.entries.changedSince(before.entries)].map((entry) => text.entry(entry)).join("");
  });
}

const delta = (blockId: string, offset: number, text: string): Payload => ({
  case: "textDelta",
  value: { blockId, offset: BigInt(offset), text },
});

describe("a transcript for people", () => {
  test("shows text as it comes, and what else there is as a whole", () => {
    const shown = shownAfter([
      { case: "userMessage", value: { segments: [{ content: { case: "text", value: "hello\nyou" } }] } },
      delta("b", 0, "Wor"),
      delta("b", 3, "ld é"),
      { case: "textDone", value: { blockId: "b" } },
      { case: "toolCallStarted", value: { toolCallId: "t", name: "run" } },
      { case: "toolCallArgumentsDelta", value: { toolCallId: "t", offset: 0n, json: '{"n"' } },
      { case: "toolCallArgumentsDelta", value: { toolCallId: "t", offset: 4n, json: ":1}" } },
      { case: "toolCallDone", value: { toolCallId: "t", name: "run", argumentsJson: '{"n":1}' } },
      { case: "toolResult", value: { toolCallId: "t", summary: "fine" } },
      { case: "workerFault", value: { code: 5, message: "broken" } },
    ]);
    expect(shown).toEqual([
      "user       hello\n           you\n",
      "text       Wor",
      "ld é",
      "\n",
      "tool       run",
      ' {"n"',
      ":1}",
      "\n",
      "result     fine\n",
      "error      tool_error: broken\n",
    ]);
  });

  test("goes on with a text after what came in between", () => {
    const shown = shownAfter([
      delta("a", 0, "first"),
      delta("b", 0, "second"),
      delta("a", 5, " more"),
      { case: "turnEnded", value: {} },
    ]);
    expect(shown).toEqual([
      "text       first",
      "\ntext       second",
      "\ntext       first more".replace("first", ""),
      "\n",
    ]);
  });

  test("shows the arguments of a call again where they are others than their pieces were", () => {
    const shown = shownAfter([
      { case: "toolCallArgumentsDelta", value: { toolCallId: "t", offset: 0n, json: '{"a": ' } },
      delta("b", 0, "between"),
      { case: "toolCallArgumentsDelta", value: { toolCallId: "t", offset: 6n, json: "1" } },
      { case: "toolCallDone", value: { toolCallId: "t", name: "run", argumentsJson: '{"a":1}' } },
    ]);
    expect(shown).toEqual([
      'tool       {"a": ',
      "\ntext       between",
      "\ntool       1",
      '\ntool       run {"a":1}\n',
    ]);
  });

  test("shows only what is new of arguments so long that their beginning is no longer kept", () => {
    const text = new PrettyEntries(styleFor({}, {}));
    const call = (start: number, argumentsJson: string) => {
      const end = BigInt(start + argumentsJson.length);
      const value = { name: "run", argumentsJson, argumentsStartOffset: BigInt(start), argumentsEndOffset: end };
      return text.entry(create(TranscriptEntrySchema, { entryNumber: 1n, content: { case: "toolCall", value } }));
    };
    expect(call(0, "abcdef")).toBe("tool       run abcdef");
    expect(call(3, "defgh")).toBe("gh");
    expect(call(5, "fghij")).toBe("ij");
    expect(call(20, "xyz")).toBe("\ntool       run …xyz");
  });

  test("shows the commands that run, and how they end", () => {
    const text = new PrettyEntries(styleFor({}, {}));
    const command = (commandId: string, status: CommandStatus, exitCode?: number) =>
      create(TranscriptCommandSchema, { commandId, command: `run ${commandId}`, status, exitCode });
    const over = command("over", CommandStatus.COMPLETED, 0);
    expect(text.commands([over, command("a", CommandStatus.RUNNING)])).toBe("running    run a\n");
    expect(text.commands([over, command("a", CommandStatus.RUNNING)])).toBe("");
    expect(text.commands([command("a", CommandStatus.TIMED_OUT), command("b", CommandStatus.FAILED, 3)])).toBe(
      "finished   run a: timed out\nfinished   run b: failed, exit code 3\n",
    );
    expect(text.commands([command("b", CommandStatus.FAILED, 3)])).toBe("");
  });

  test("lets no text of a worker move the cursor or forge a line of another", () => {
    const [line] = shownAfter([delta("", 0, "a\u001b[2Jb\rtool       forged\u0007")]);
    expect(line).toBe("text       a\\x1b[2Jb\n           tool       forged\\x07");
  });

  test("says what was left out before", () => {
    const [line] = shownAfter([delta("", 100, "the rest")]);
    expect(line).toBe("text       …the rest");
  });
});
