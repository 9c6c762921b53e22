import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { type Event, EventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { CommandStatus, OutputStream, WorkerState } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { RunResult, ToolCallState } from "../../../gen/tailrace/v1/transcript_pb.ts";

export type PayloadInit = NonNullable<MessageInitShape<typeof EventSchema>["payload"]> & { readonly case: string };

/** Few ids, so that events meet; the empty one means what is current. */
const blockId = fc.constantFrom("", "b1", "b2", "b3");
const callId = fc.constantFrom("t1", "t2", "t3", "");
/** One, two, three and four bytes per character. */
const piece = fc.constantFrom("", "a", "bc", "é", "€uro", "😀", "some longer text ");
const offset = fc.nat({ max: 30 }).map(BigInt);
const turn = fc.nat({ max: 9 }).map(BigInt);
const bytes = fc.uint8Array({ maxLength: 12 });

function payload<C extends string>(name: C, value: fc.Arbitrary<object>): fc.Arbitrary<PayloadInit> {
  return value.map((given) => ({ case: name, value: given }) as unknown as PayloadInit);
}

const none = fc.constant({});

/** What a worker that converses says, also what makes no sense: repeats, holes, ends without a beginning. */
export const transcriptPayload: fc.Arbitrary<PayloadInit> = fc.oneof(
  { weight: 6, arbitrary: payload("textDelta", fc.record({ blockId, offset, text: piece })) },
  { weight: 2, arbitrary: payload("textDone", fc.record({ blockId, text: piece })) },
  { weight: 1, arbitrary: payload("thinkingStarted", fc.record({ blockId })) },
  { weight: 4, arbitrary: payload("thinkingDelta", fc.record({ blockId, offset, text: piece })) },
  { weight: 1, arbitrary: payload("thinkingDone", fc.record({ blockId, text: piece })) },
  { weight: 2, arbitrary: payload("toolCallStarted", fc.record({ toolCallId: callId, name: piece })) },
  { weight: 4, arbitrary: payload("toolCallArgumentsDelta", fc.record({ toolCallId: callId, offset, json: piece })) },
  {
    weight: 2,
    arbitrary: payload("toolCallDone", fc.record({ toolCallId: callId, name: piece, argumentsJson: piece })),
  },
  {
    weight: 2,
    arbitrary: payload(
      "toolResult",
      fc.record({ toolCallId: callId, summary: piece, output: piece, isError: fc.boolean() }),
    ),
  },
  {
    weight: 2,
    arbitrary: payload("userMessage", fc.record({ messageId: fc.constantFrom("", "m1", "m2") })).map(
      (message) => message,
    ),
  },
  { weight: 1, arbitrary: payload("systemItem", fc.record({ json: fc.constant("{}") })) },
  { weight: 1, arbitrary: payload("greeting", fc.record({ workerName: piece })) },
  { weight: 1, arbitrary: payload("turnStarted", fc.record({ turn })) },
  { weight: 1, arbitrary: payload("turnEnded", none) },
  { weight: 1, arbitrary: payload("modelCallRetried", none) },
  { weight: 1, arbitrary: payload("transcriptSegmentRotated", none) },
  { weight: 1, arbitrary: payload("workerFault", fc.record({ message: piece })) },
  { weight: 1, arbitrary: payload("compactionDone", fc.record({ summary: piece })) },
  { weight: 1, arbitrary: payload("compactionFailed", fc.record({ message: piece })) },
  {
    weight: 1,
    arbitrary: payload(
      "runEnded",
      fc.record({ result: fc.constantFrom(RunResult.FINISHED, RunResult.PAUSED, RunResult.ROLLED_BACK) }),
    ),
  },
  {
    weight: 1,
    arbitrary: payload("rewindApplied", fc.record({ targetId: fc.constantFrom("m1", "b2", "t3", "elsewhere", "") })),
  },
  {
    weight: 1,
    arbitrary: payload("workerStatus", fc.record({ state: fc.constantFrom(WorkerState.IDLE, WorkerState.RUNNING) })),
  },
  { weight: 1, arbitrary: payload("commandStarted", fc.record({ commandId: callId, command: piece })) },
  {
    weight: 3,
    arbitrary: payload(
      "commandOutput",
      fc.record({
        commandId: callId,
        stream: fc.constantFrom(OutputStream.STDOUT, OutputStream.STDERR),
        startOffset: offset,
        content: bytes,
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: payload(
      "commandEnded",
      fc.record({ commandId: callId, status: fc.constantFrom(CommandStatus.COMPLETED, CommandStatus.FAILED) }),
    ),
  },
  {
    weight: 1,
    arbitrary: payload(
      "transcriptSnapshot",
      fc.record({
        entriesJson: fc.array(fc.constantFrom("1", '"two"'), { maxLength: 4 }),
        inFlight: fc.record({
          blocks: fc.array(
            fc.oneof(
              fc.record({ text: piece, finished: fc.boolean() }).map((value) => ({ content: { case: "text", value } })),
              fc
                .record({
                  toolCallId: callId,
                  argumentsJson: piece,
                  state: fc.constant(ToolCallState.STREAMING_ARGUMENTS),
                })
                .map((value) => ({ content: { case: "toolCall", value } })),
            ),
            { maxLength: 2 },
          ),
        }),
      }),
    ),
  },
  // Kinds that mean nothing for a transcript.
  { weight: 1, arbitrary: payload("usage", none) },
  { weight: 1, arbitrary: payload("output", fc.record({ data: bytes })) },
);

/** Events with sequences that leave holes, a millisecond apart. */
export function eventsOf(payloads: readonly PayloadInit[], workerId = "w"): Event[] {
  return payloads.map((payload, index) =>
    create(EventSchema, {
      sequence: BigInt(3 + 2 * index),
      time: timestampFromMs(1_700_000_000_000 + index),
      workerId,
      payload: payload as MessageInitShape<typeof EventSchema>["payload"],
    } as MessageInitShape<typeof EventSchema>),
  );
}
