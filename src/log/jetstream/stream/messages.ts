import { BinaryReader, BinaryWriter } from "../../binary.ts";
import type { PendingEvent } from "../../contract.ts";

/** Tells our messages from those that somebody else put into the stream. */
const magic = [0x54, 0x52] as const;
const formatVersion = 1;

/** A message, or a snapshot, that a newer release wrote. */
export class NewerFormat extends Error {
  override readonly name = "NewerFormat";

  constructor(what: string, version: number) {
    super(`${what} has format ${version}, and this release reads up to ${formatVersion}`);
  }
}

/** One message of a group. */
export interface GroupMessage {
  /** Its number in the group, from 1, and how many the group has. */
  readonly index: number;
  readonly of: number;
  /** A piece of the encoded head, as `encodeHead` has it. */
  readonly head: Uint8Array;
  readonly events: readonly PendingEvent[];
}

/**
 * Writes a message. What is returned lies in the memory of `writer`, which nobody may write to as long as that is needed.
 * `bytes`: how many it will have, about.
 */
export function encodeMessage(message: GroupMessage, writer = new BinaryWriter(), bytes = 0): Uint8Array {
  const { events } = message;
  writer.clear();
  writer.reserve(bytes);
  for (const byte of magic) writer.u8(byte);
  writer.u8(formatVersion);
  writer.u32(message.index);
  writer.u32(message.of);
  writer.data(message.head);
  for (let from = 0; from < events.length; ) {
    const { workerId, jobId } = events[from] as PendingEvent;
    let to = from + 1;
    while (to < events.length && events[to]?.workerId === workerId && events[to]?.jobId === jobId) to++;
    writer.text(workerId);
    writer.text(jobId);
    writer.u32(to - from);
    for (; from < to; from++) {
      const { kind, body } = events[from] as PendingEvent;
      writer.u32(kind);
      writer.data(body);
    }
  }
  return writer.bytes;
}

/** @throws NewerFormat, or another error where the bytes are none that `encodeMessage` wrote. */
export function decodeMessage(bytes: Uint8Array): GroupMessage {
  const reader = begin(bytes);
  const index = reader.u32();
  const of = reader.u32();
  // That of one which is whole is read at once.
  const head = of === 1 ? reader.view() : reader.data();
  const events: PendingEvent[] = [];
  while (!reader.isAtEnd) {
    const workerId = reader.text();
    const jobId = reader.text();
    for (let left = reader.u32(); left > 0; left--) {
      events.push({ workerId, jobId, kind: reader.u32(), body: reader.view() });
    }
  }
  return { index, of, head, events };
}

/** The bodies of a message's events alone, in the memory of the message. Throws as `decodeMessage` does. */
export function bodiesOf(bytes: Uint8Array): readonly Uint8Array[] {
  const reader = begin(bytes);
  reader.skip(4 + 4);
  reader.skip(reader.u32());
  const bodies: Uint8Array[] = [];
  while (!reader.isAtEnd) {
    reader.skip(reader.u32());
    reader.skip(reader.u32());
    for (let left = reader.u32(); left > 0; left--) {
      reader.skip(4);
      bodies.push(reader.view());
    }
  }
  return bodies;
}

/** A reader behind what every message begins with. */
function begin(bytes: Uint8Array): BinaryReader {
  const reader = new BinaryReader(bytes);
  for (const byte of magic) if (reader.u8() !== byte) throw new RangeError("this is no message of a log");
  const version = reader.u8();
  if (version > formatVersion) throw new NewerFormat("a message", version);
  return reader;
}
