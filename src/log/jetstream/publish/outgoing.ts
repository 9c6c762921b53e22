import { headers, type NatsConnection } from "@nats-io/transport-node";
import { limits } from "../../../base/limits.ts";
import type { BinaryWriter } from "../../binary.ts";
import type { PendingEvent } from "../../contract.ts";
import type { WriteKind } from "../health/write-check.ts";
import { encodeHead, type GroupHead } from "../stream/heads.ts";
import { encodeMessage } from "../stream/messages.ts";
import { changeSubject, eventSubject } from "../stream/subjects.ts";
import type { Group } from "./group.ts";

/** Bytes that an event takes beside its body and its ids at the most, and a message beside its events and its head. */
const eventOverheadBytes = 20;
const messageOverheadBytes = 15;

/** A message on its way. */
export interface OutgoingMessage {
  readonly subject: string;
  readonly payload: Uint8Array;
}

/**
 * The messages of a group as it goes out now. `timeMs`: when its events were accepted; 0: when the stream takes them.
 * `memory`: where the message lies if there is only one.
 */
export function encodeGroup(
  namespace: string,
  { number, appends, control, probes }: Group,
  writer: string,
  timeMs: number,
  memory: BinaryWriter,
): { readonly kind: WriteKind; readonly messages: readonly OutgoingMessage[] } {
  const head: GroupHead = {
    ...control,
    writer,
    number,
    timeMs,
    appends: appends.map(({ base, after, batch }) => {
      const append = { ...batch, base, count: batch.events.length };
      return after === undefined ? append : { ...append, after };
    }),
  };
  const [first] = appends;
  const events =
    first !== undefined && appends.length === 1 ? first.batch.events : appends.flatMap(({ batch }) => batch.events);
  const messages = messagesOf(namespace, head, events, memory);
  if (probes === undefined) return { kind: events.length > 0 ? "events" : "changes", messages };
  if (probes === "changes") return { kind: probes, messages };
  return { kind: probes, messages: messages.map((one) => ({ ...one, subject: eventSubject(namespace, "", "") })) };
}

/**
 * Hands the messages of a group to NATS. `id` names it among all that the stream has; the answer goes to `reply`. So does that to each
 * message of several: nothing where it was taken, and where it was not why, of which the answer to the last one says nothing.
 */
export function publishGroup(
  connection: NatsConnection,
  messages: readonly OutgoingMessage[],
  id: string,
  reply: string,
): void {
  for (let i = 0; i < messages.length; i++) {
    const { subject, payload } = messages[i] as OutgoingMessage;
    const isLast = i === messages.length - 1;
    connection.publish(subject, payload, {
      reply,
      ...(messages.length === 1 ? {} : { headers: batchHeaders(id, i + 1, isLast) }),
    });
  }
}

function batchHeaders(id: string, number: number, isLast: boolean) {
  const own = headers();
  own.set("Nats-Batch-Id", id);
  own.set("Nats-Batch-Sequence", String(number));
  if (isLast) own.set("Nats-Batch-Commit", "1");
  return own;
}

/**
 * The messages of a group. Mostly one: the stream takes a message at once, but several of them as one only through a
 * store of its own on disk, which takes it some fifty times as long. `memory`: where that one lies.
 */
export function messagesOf(
  namespace: string,
  head: GroupHead,
  events: readonly PendingEvent[],
  memory?: BinaryWriter,
): OutgoingMessage[] {
  const encoded = encodeHead(head);
  let bytes = encoded.length;
  for (const event of events) bytes += sizeOf(event);
  if (bytes <= limits.natsMessageBytes) {
    const payload = encodeMessage({ index: 1, of: 1, head: encoded, events }, memory, bytes + messageOverheadBytes);
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
    payload: encodeMessage(
      { index: i + 1, of: pieces.length, head: piece.head, events: piece.events },
      undefined,
      piece.bytes + messageOverheadBytes,
    ),
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
