import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type NewEvent, NewEventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import { OutputStream } from "../../../gen/tailrace/v1/payloads_pb.ts";
import { invalidRequest, type TailraceError } from "../../base/errors.ts";
import type { InputLine } from "./line-splitter.ts";

/** Makes events of lines; undefined: the line is empty. @throws TailraceError `invalid_request` naming the line. */
export type ReadEvent = (line: InputLine) => NewEvent | undefined;

/** Lines that are NewEvent in proto3 JSON. `workerId` is for those that name none. */
export function jsonReader(workerId: string | undefined): ReadEvent {
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  return (line) => {
    let event: NewEvent;
    try {
      const text = utf8.decode(line.bytes).trim();
      if (text === "") return undefined;
      event = fromJson(NewEventSchema, JSON.parse(text) as JsonValue);
    } catch (error) {
      throw wrongLine(line, explain(error));
    }
    if (event.payload.case === undefined) {
      throw wrongLine(line, 'it says nothing: give a payload, for example "narration" or "custom"');
    }
    if (event.workerId === "") {
      if (workerId === undefined)
        throw wrongLine(line, 'it names no worker: give "workerId", or --worker for all lines');
      event.workerId = workerId;
    }
    return event;
  };
}

/** Lines that are output as they are, with their newlines. */
export function textReader(workerId: string): ReadEvent {
  let offset = 0;
  return ({ bytes }) => {
    const value = { stream: OutputStream.STDOUT, data: bytes, offset: BigInt(offset) };
    offset += bytes.length;
    return create(NewEventSchema, { workerId, payload: { case: "output", value } });
  };
}

export function wrongLine(line: { readonly number: number }, description: string): TailraceError<"invalid_request"> {
  return invalidRequest(`line ${line.number}`, description);
}

function explain(error: unknown): string {
  if (error instanceof SyntaxError) return `it is no JSON: ${error.message}`;
  if (error instanceof TypeError) return "it is not UTF-8";
  return (error as Error).message.replaceAll("tailrace.v1.", "");
}
