import { limits } from "../../base/limits.ts";
import type { PendingEvent } from "../contract.ts";
import { encodeHead, encodeMessage, type GroupHead } from "./messages.ts";
import { changeSubject, eventSubject } from "./subjects.ts";

/** Bytes that an event takes beside its body, about. */
const eventOverheadBytes = 16;

/** A message on its way. */
export interface OutgoingMessage {
  readonly subject: string;
  readonly payload: Uint8Array;
}

/**
 * The messages of a group. Mostly one: the stream takes a message at once, but several of them as one only through a
 * store of its own on disk, which takes it some fifty times as long.
 */
export function messagesOf(namespace: string, head: GroupHead, events: readonly PendingEvent[]): OutgoingMessage[] {
  const encoded = encodeHead(head);
  let bytes = encoded.length;
  for (const event of events) bytes += sizeOf(event);
  if (bytes <= limits.natsMessageBytes) {
    const payload = encodeMessage({ index: 1, of: 1, head: encoded, events });
    return [{ subject: subjectOf(namespace, events), payload }];
  }
  const pieces: { head: Uint8Array; events: PendingEvent[]; bytes: number }[] = [];
  const nothing = new Uint8Array(0);
  for (let at = 0; at < encoded.length || at === 0; at += limits.natsMessageBytes) {
    const piece = encoded.subarray(at, at + limits.natsMessageBytes);
    pieces.push({ head: piece, events: [], bytes: piece.length });
  }
  for (const event of events) {
    const size = sizeOf(event);
    let last = pieces.at(-1);
    if (last === undefined || (last.bytes > 0 && last.bytes + size > limits.natsMessageBytes)) {
      last = { head: nothing, events: [], bytes: 0 };
      pieces.push(last);
    }
    last.events.push(event);
    last.bytes += size;
  }
  return pieces.map((piece, i) => ({
    subject: subjectOf(namespace, piece.events),
    payload: encodeMessage({ index: i + 1, of: pieces.length, head: piece.head, events: piece.events }),
  }));
}

function sizeOf(event: PendingEvent): number {
  return event.body.length + event.workerId.length + event.jobId.length + eventOverheadBytes;
}

function subjectOf(namespace: string, events: readonly PendingEvent[]): string {
  const [first] = events;
  if (first === undefined) return changeSubject(namespace);
  const { workerId, jobId } = first;
  return eventSubject(
    namespace,
    events.every((event) => event.workerId === workerId) ? workerId : undefined,
    events.every((event) => event.jobId === jobId) ? jobId : undefined,
  );
}
