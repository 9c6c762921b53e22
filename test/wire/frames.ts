import { create } from "@bufbuild/protobuf";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { expect } from "vitest";
import { type NewEvent, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { CursorCodec, type Position } from "../../src/events/cursor.ts";
import { type EventBlock, positionAfter } from "../../src/log/block.ts";
import type { EventRun, WireForm } from "../../src/stream/form.ts";
import { createForms } from "../../src/wire/forms.ts";

export const runtimeId = 'runtime "1"\n';
export const generation = 0x1234_5678_9abc_def0n;

export function newForms() {
  const cursors = new CursorCodec(runtimeId, generation);
  return { cursors, ...createForms(cursors) };
}

export function wholeRun<E, F>(form: WireForm<E, F>, block: EventBlock): EventRun<E> {
  return { entries: form.encode(block), from: 0, to: block.length };
}

export function end(block: EventBlock): Position {
  return positionAfter(block, block.length - 1);
}

/** What follows the header of an envelope, after the header was checked. */
export function unwrap(frame: Uint8Array): Uint8Array {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.length);
  expect(bytes[0]).toBe(0);
  expect(bytes.readUInt32BE(1)).toBe(frame.length - 5);
  return Uint8Array.from(bytes.subarray(5));
}

export function textIn(frame: Uint8Array): string {
  return Buffer.from(unwrap(frame)).toString("utf8");
}

export function parseSse(bytes: Uint8Array): EventSourceMessage[] {
  const messages: EventSourceMessage[] = [];
  const parser = createParser({
    onEvent: (message) => messages.push(message),
    onError: (error) => {
      throw error;
    },
  });
  parser.feed(Buffer.from(bytes).toString("utf8"));
  return messages;
}

export function output(workerId: string, data: string): NewEvent {
  return create(NewEventSchema, {
    workerId,
    payload: { case: "output", value: { stream: 1, data: Buffer.from(data), offset: 5n } },
  });
}
