import { WireType } from "@bufbuild/protobuf/wire";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { EventKind, NewEventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import { limits } from "../base/limits.ts";
import type { PendingEvent } from "../log/contract.ts";
import { type CanonicalField, type CanonicalPlan, canonicalPlanOf } from "./canonical-plan.ts";

const { producerTime, workerId, jobId, correlationId } = NewEventSchema.field;
const timePlan = canonicalPlanOf(TimestampSchema);
const firstPayloadField = 16;
/** Messages within messages. Deeper ones are left to protobuf-es, which knows how to refuse them. */
const maxDepth = 30;
/** Longer texts are left to the platform: below, its fixed cost is more than a loop's. */
const shortText = 256;
/** First byte of a canonical custom event that has a type: its field comes first. */
const customTypeTag = (1 << 3) | WireType.LengthDelimited;
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The varint that was read last, and where what follows begins. */
let value = 0;
let position = 0;

/**
 * Takes encoded events into the log as they came, for a tenth of what decoding and encoding costs.
 *
 * It knows only good events in their canonical encoding: byte for byte what `pendingEvent` makes of the same event.
 * Everything else (fields out of order or twice, unknown fields and kinds, anything to refuse, to split or to merge) is
 * left to that function, so that there is one place which says what a good event is, and a checksum over bodies does
 * not depend on the way in which an event came.
 */
export class EventScanner {
  readonly #payloads: CanonicalPlan;
  readonly #workers = new LastId();
  readonly #jobs = new LastId();

  /** `takes`: whether events of a kind may go into the log without anyone looking at what they say. */
  constructor(takes: (kind: number) => boolean) {
    this.#payloads = canonicalPlanOf(NewEventSchema).map((field, number) =>
      number >= firstPayloadField && takes(number) ? field : undefined,
    );
  }

  /** The event as the log takes it, with `bytes` for its body; undefined: not a good one in canonical form. */
  scan(bytes: Uint8Array): PendingEvent | undefined {
    const end = bytes.length;
    // Leaves room for `time`, and larger output is split.
    if (end > limits.maxEventBytes / 2) return undefined;
    let last = 0;
    let worker = "";
    let job = "";
    position = 0;
    while (position < end) {
      if (!readVarint(bytes, end)) return undefined;
      const number = Math.floor(value / 8);
      // Every field that is taken here has a length.
      if (number <= last || last >= firstPayloadField || value % 8 !== WireType.LengthDelimited) return undefined;
      last = number;
      if (!readVarint(bytes, end)) return undefined;
      const begin = position;
      const valueEnd = begin + value;
      if (valueEnd > end) return undefined;
      if (number >= firstPayloadField) {
        const field = number < this.#payloads.length ? this.#payloads[number] : undefined;
        if (field === undefined || !isCanonical(bytes, valueEnd, field.fields, 1)) return undefined;
        if (number === EventKind.CUSTOM && (begin === valueEnd || bytes[begin] !== customTypeTag)) return undefined;
      } else if (number === producerTime.number) {
        if (!isCanonical(bytes, valueEnd, timePlan, 1)) return undefined;
      } else if (number === workerId.number) {
        const id = this.#workers.read(bytes, begin, valueEnd);
        if (id === undefined) return undefined;
        worker = id;
      } else if (number === jobId.number) {
        const id = this.#jobs.read(bytes, begin, valueEnd);
        if (id === undefined) return undefined;
        job = id;
      } else if (number !== correlationId.number || !isId(bytes, begin, valueEnd)) return undefined;
      position = valueEnd;
    }
    return last >= firstPayloadField ? { workerId: worker, jobId: job, kind: last, body: bytes } : undefined;
  }
}

/** The id that was read last. Neighbours often have the same: it need not be decoded, nor kept, once per event. */
class LastId {
  #bytes: Uint8Array = new Uint8Array();
  #id = "";

  /** The id in [`begin`, `end`); undefined: it is none. */
  read(bytes: Uint8Array, begin: number, end: number): string | undefined {
    const known = this.#bytes;
    const length = end - begin;
    let same = known.length === length && length > 0;
    for (let i = 0; same && i < length; i++) same = known[i] === bytes[begin + i];
    if (same) return this.#id;
    if (!isId(bytes, begin, end)) return undefined;
    // A copy: a view would hold the whole request.
    this.#bytes = new Uint8Array(bytes.subarray(begin, end));
    this.#id = strictUtf8.decode(this.#bytes);
    return this.#id;
  }
}

/** Whether a message that begins at `position` and ends at `end` is what protobuf-es would write. */
function isCanonical(bytes: Uint8Array, end: number, plan: CanonicalPlan, depth: number): boolean {
  if (depth > maxDepth) return false;
  let last = 0;
  let oneofs = 0;
  while (position < end) {
    if (!readVarint(bytes, end)) return false;
    const number = Math.floor(value / 8);
    const field = number < plan.length ? plan[number] : undefined;
    if (field === undefined || field.wireType !== value % 8) return false;
    if (number < last || (number === last && !field.repeated)) return false;
    // Of a oneof only the last is there.
    if ((oneofs & field.oneof) !== 0) return false;
    oneofs |= field.oneof;
    last = number;
    if (!isCanonicalValue(bytes, end, field, depth)) return false;
  }
  return true;
}

function isCanonicalValue(bytes: Uint8Array, end: number, field: CanonicalField, depth: number): boolean {
  if (field.value === "double") return isCanonicalDouble(bytes, end, field);
  if (!readVarint(bytes, end)) return false;
  // A zero that encoders leave out.
  if (value === 0 && field.implicit) return false;
  if (field.value === "number") return value <= field.maximum;
  const begin = position;
  const valueEnd = begin + value;
  if (valueEnd > end) return false;
  if (field.value === "text") {
    if (!isText(bytes, begin, valueEnd)) return false;
  } else if (field.value === "message" && !isCanonical(bytes, valueEnd, field.fields, depth + 1)) return false;
  position = valueEnd;
  return true;
}

function isCanonicalDouble(bytes: Uint8Array, end: number, field: CanonicalField): boolean {
  if (position + 8 > end) return false;
  const double = new DataView(bytes.buffer, bytes.byteOffset + position, 8).getFloat64(0, true);
  position += 8;
  // There are many encodings of what is no number.
  return !Number.isNaN(double) && !(double === 0 && field.implicit);
}

function isId(bytes: Uint8Array, begin: number, end: number): boolean {
  return end > begin && end - begin <= limits.maxIdBytes && isText(bytes, begin, end);
}

/** Whether bytes are UTF-8. */
function isText(bytes: Uint8Array, begin: number, end: number): boolean {
  if (end - begin <= shortText) {
    let bits = 0;
    for (let i = begin; i < end; i++) bits |= bytes[i] as number;
    if (bits < 0x80) return true;
  }
  try {
    strictUtf8.decode(bytes.subarray(begin, end));
    return true;
  } catch {
    return false;
  }
}

/** Reads a varint into `value`. False: cut off, not as short as it could be, or beyond 2^53 - 1, as negative numbers are. */
function readVarint(bytes: Uint8Array, end: number): boolean {
  if (position >= end) return false;
  let byte = bytes[position++] as number;
  value = byte & 0x7f;
  for (let scale = 0x80; byte >= 0x80; scale *= 0x80) {
    if (position >= end || scale > 2 ** 49) return false;
    byte = bytes[position++] as number;
    if (byte === 0) return false;
    value += (byte & 0x7f) * scale;
  }
  return value <= Number.MAX_SAFE_INTEGER;
}
