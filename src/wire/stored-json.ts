import { WireType } from "@bufbuild/protobuf/wire";
import { EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { type FieldPlan, type MessagePlan, planOf } from "./json-plan.ts";
import { ascii, type JsonWriter } from "./json-writer.ts";

const eventPlan = planOf(EventSchema);
const firstPayloadField = 16;
/** Messages within messages. Deeper ones are left to protobuf-es, which knows how to refuse them. */
const maxDepth = 30;

const quote = 0x22;
const comma = 0x2c;
const point = 0x2e;
const closeObject = 0x7d;
const utc = 0x5a;
const trueText = ascii("true");
const falseText = ascii("false");
const lastSecondOfYear9999 = 253_402_300_799;

/** The varint that was read last, and where what follows begins. */
let value = 0;
let position = 0;

/** The second that was written last: most events share it with the one before. */
let knownSecond = Number.NaN;
let knownSecondText: Uint8Array = new Uint8Array(0);

/**
 * Writes the fields of a stored event [from, to) as members of a JSON object, each with a comma in front, straight from
 * the bytes: by way of protobuf-es an event costs several times as much.
 * False: something is unusual (lists, maps, fields out of order or unknown), and what was written must be taken back.
 */
export function writeStoredJson(writer: JsonWriter, source: Buffer, from: number, to: number): boolean {
  position = from;
  return writeMembers(writer, source, to, eventPlan, 0) >= firstPayloadField;
}

/** Writes members up to `end`. Returns the number of the last field; -1: something is unusual. */
function writeMembers(writer: JsonWriter, source: Buffer, end: number, plan: MessagePlan, depth: number): number {
  if (depth > maxDepth) return -1;
  let last = 0;
  let oneofs = 0;
  while (position < end) {
    if (!readVarint(source, end) || value > 0x7fff_ffff) return -1;
    const number = value >>> 3;
    const field = plan[number];
    // Repeated or out of order: the last one counts, or they are merged. And of a oneof only the last is there.
    if (number <= last || field === undefined || field.wireType !== (value & 7)) return -1;
    if ((oneofs & field.oneof) !== 0) return -1;
    oneofs |= field.oneof;
    if (last !== 0 || depth === 0) writer.putByte(comma);
    last = number;
    writer.put(field.open);
    if (!writeValue(writer, source, end, field, depth)) return -1;
  }
  return position === end ? last : -1;
}

function writeValue(writer: JsonWriter, source: Buffer, end: number, field: FieldPlan, depth: number): boolean {
  if (field.wireType === WireType.Bit64) return writeDouble(writer, source, end, field);
  if (!readVarint(source, end)) return false;
  // A zero that encoders leave out.
  if (value === 0 && field.implicit) return false;
  if (field.wireType === WireType.Varint) return writeNumber(writer, field);
  const begin = position;
  const valueEnd = begin + value;
  if (valueEnd > end) return false;
  if (field.value === "string") writer.putString(source, begin, valueEnd);
  else if (field.value === "bytes") writer.putBase64(source, begin, valueEnd);
  else if (field.value === "time") {
    if (!writeTime(writer, source, valueEnd)) return false;
  } else {
    if (writeMembers(writer, source, valueEnd, field.fields, depth + 1) < 0) return false;
    writer.putByte(closeObject);
  }
  position = valueEnd;
  return true;
}

/** Writes `value`. */
function writeNumber(writer: JsonWriter, field: FieldPlan): boolean {
  if (field.value === "enum") {
    const name = field.names[value];
    if (name === undefined) return false;
    writer.put(name);
    return true;
  }
  if (field.value === "bool") {
    if (value > 1) return false;
    writer.put(value === 1 ? trueText : falseText);
    return true;
  }
  if (value > field.maximum) return false;
  writer.putNumber(value);
  if (field.value === "quoted") writer.putByte(quote);
  return true;
}

function writeDouble(writer: JsonWriter, source: Buffer, end: number, field: FieldPlan): boolean {
  if (position + 8 > end) return false;
  const double = source.readDoubleLE(position);
  position += 8;
  if (!Number.isFinite(double) || (double === 0 && field.implicit)) return false;
  writer.putText(JSON.stringify(double));
  return true;
}

function writeTime(writer: JsonWriter, source: Buffer, end: number): boolean {
  let seconds = 0;
  let nanos = 0;
  let lastTag = 0;
  while (position < end) {
    const tag = source[position++] as number;
    if (tag <= lastTag || !readVarint(source, end)) return false;
    lastTag = tag;
    if (tag === 0x08) seconds = value;
    else if (tag === 0x10) nanos = value;
    else return false;
  }
  if (seconds > lastSecondOfYear9999 || nanos > 999_999_999) return false;
  if (seconds !== knownSecond) {
    knownSecondText = ascii(new Date(seconds * 1000).toISOString().slice(0, 19));
    knownSecond = seconds;
  }
  writer.put(knownSecondText);
  if (nanos !== 0) {
    writer.putByte(point);
    if (nanos % 1_000_000 === 0) writer.putPadded(nanos / 1_000_000, 3);
    else if (nanos % 1000 === 0) writer.putPadded(nanos / 1000, 6);
    else writer.putPadded(nanos, 9);
  }
  writer.putByte(utc);
  writer.putByte(quote);
  return true;
}

/** Reads a varint into `value`. False: cut off, or beyond 2^53 - 1, as negative numbers are. */
function readVarint(source: Buffer, end: number): boolean {
  // Summed up aside: every number beyond 2^31 that is put into `value` is an object.
  let at = position;
  let sum = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    if (at >= end) return false;
    const byte = source[at++] as number;
    sum |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      value = sum;
      position = at;
      return true;
    }
  }
  for (let scale = 2 ** 28; at < end; scale *= 0x80) {
    const byte = source[at++] as number;
    sum += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      value = sum;
      position = at;
      return sum <= Number.MAX_SAFE_INTEGER;
    }
    if (scale > 2 ** 49) return false;
  }
  return false;
}
