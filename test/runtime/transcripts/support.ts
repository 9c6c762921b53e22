import { create, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import type { Event, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { ListEventsRequestSchema } from "../../../gen/tailrace/v1/event_stream_service_pb.ts";
import {
  GetTranscriptRequestSchema,
  type GetTranscriptResponse,
  GetTranscriptResponseSchema,
} from "../../../gen/tailrace/v1/worker_service_pb.ts";
import { foldTranscript, transcriptKinds } from "../../../src/events/transcript/fold.ts";
import { settle, transcriptOf, transcriptOfPages, wholeTranscript } from "../../../src/events/transcript/messages.ts";
import { emptyTranscript, type TranscriptState } from "../../../src/events/transcript/state.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";

type NewEventInit = MessageInitShape<typeof NewEventSchema>;

/** A page of a transcript, by default one that has all of a short one. */
export function getTranscript(
  runtime: Runtime,
  workerId: string,
  request: Omit<MessageInitShape<typeof GetTranscriptRequestSchema>, "$typeName"> = {},
): Promise<GetTranscriptResponse> {
  return runtime.getTranscript(create(GetTranscriptRequestSchema, { workerId, pageSize: 1000, ...request }));
}

/** The transcript of an answer that has all of it. */
export function stateOf(answer: GetTranscriptResponse): TranscriptState {
  if (answer.nextPageToken !== "") throw new Error("the answer has not all of the transcript");
  return transcriptOf(answer);
}

/** A transcript as text, down to the last number. */
export function shown(state: TranscriptState): unknown {
  return toJson(GetTranscriptResponseSchema, wholeTranscript(state));
}

/** What is retained of a worker, up to a sequence, folded from nothing. */
export async function foldedFromLog(
  runtime: Runtime,
  workerId: string,
  until = Number.POSITIVE_INFINITY,
): Promise<TranscriptState> {
  let state = emptyTranscript();
  for (const event of await retainedEvents(runtime, workerId)) {
    if (Number(event.sequence) <= until) state = foldTranscript(state, event);
  }
  return state;
}

/** Events of a worker, of the kinds of transcripts, after a cursor. */
export async function retainedEvents(runtime: Runtime, workerId: string, cursor = ""): Promise<Event[]> {
  const events: Event[] = [];
  for (let at = cursor; ; ) {
    const start = at === "" ? {} : { start: { case: "cursor", value: at } as const };
    const page = await runtime.listEvents(
      create(ListEventsRequestSchema, { workerIds: [workerId], kinds: [...transcriptKinds], ...start }),
    );
    events.push(...page.events);
    if (page.complete) return events;
    at = page.cursor;
  }
}

/** The next events of a conversation: turn after turn of text in pieces and a tool call, each event cut where it is. */
export function* conversation(workerId: string, from = 0): Generator<NewEventInit, never> {
  for (let n = from; ; n++) {
    const say = (payload: NonNullable<NewEventInit["payload"]>): NewEventInit => ({ workerId, payload });
    yield say({
      case: "userMessage",
      value: { messageId: `m${n}`, segments: [{ content: { case: "text", value: `${n}?` } }] },
    });
    yield say({ case: "turnStarted", value: { turn: BigInt(n + 1) } });
    yield say({ case: "thinkingStarted", value: {} });
    yield say({ case: "thinkingDelta", value: { offset: 0n, text: `about ${n}` } });
    yield say({ case: "thinkingDone", value: {} });
    const pieces = [`é${n} `, "word ", "😀", ` and ${n}`];
    let offset = 0;
    for (const text of pieces) {
      yield say({ case: "textDelta", value: { blockId: `b${n}`, offset: BigInt(offset), text } });
      offset += Buffer.byteLength(text);
    }
    yield say({ case: "toolCallStarted", value: { toolCallId: `t${n}`, name: "run" } });
    yield say({ case: "toolCallArgumentsDelta", value: { toolCallId: `t${n}`, offset: 0n, json: '{"n":' } });
    yield say({ case: "toolCallArgumentsDelta", value: { toolCallId: `t${n}`, offset: 5n, json: `${n}}` } });
    yield say({ case: "commandStarted", value: { commandId: `c${n}`, toolCallId: `t${n}`, command: "make" } });
    yield say({
      case: "commandOutput",
      value: { commandId: `c${n}`, stream: 1, startOffset: 0n, endOffset: 3n, content: Buffer.from("ok\n") },
    });
    yield say({ case: "commandEnded", value: { commandId: `c${n}`, status: 2 } });
    yield say({ case: "toolCallDone", value: { toolCallId: `t${n}`, name: "run", argumentsJson: `{"n":${n}}` } });
    yield say({ case: "toolResult", value: { toolCallId: `t${n}`, summary: "ok" } });
    yield say({ case: "textDone", value: { blockId: `b${n}` } });
    yield say({ case: "turnEnded", value: { turn: BigInt(n + 1) } });
  }
}

/** The next `count` of a sequence without end. */
export function take<T>(from: Iterator<T, never>, count: number): T[] {
  return Array.from({ length: count }, () => from.next().value);
}

/** A transcript read page by page, while no one writes. */
export async function stateOfPages(runtime: Runtime, workerId: string): Promise<TranscriptState> {
  const pages: GetTranscriptResponse[] = [];
  for (let pageToken = ""; ; ) {
    const page = await getTranscript(runtime, workerId, { pageToken });
    pages.push(page);
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  const state = transcriptOfPages(pages);
  const settled = state?.settling ? settle(state, pages.at(-1) as GetTranscriptResponse) : state;
  if (settled === undefined) throw new Error("the pages do not agree");
  return settled;
}
