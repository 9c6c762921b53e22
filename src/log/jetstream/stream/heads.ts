import type { RetentionLimits } from "../../../base/limits.ts";
import { BinaryReader, BinaryWriter } from "../../binary.ts";
import type { AppendBatch, StatePut } from "../../contract.ts";

/** What a group says apart from the events: the same at every server that folds it. */
export interface GroupHead {
  /** Who wrote it, as `writerName` has it: a server in another life is another writer. */
  readonly writer: string;
  /** Number of its first append among those of its server, or its own where it has none. */
  readonly number: number;
  /** When its events were accepted, in milliseconds since the epoch; 0: when the stream took the message. */
  readonly timeMs: number;
  /** The appends, in order. Their events are those of the group, one after the other. */
  readonly appends: readonly GroupAppend[];
  /**
   * Who says the retention and the hold of this group, which count only if that is the keeper by then: one that was paused
   * may say them late.
   */
  readonly keeper?: { readonly id: string; readonly role: KeeperRole };
  /** From here on, for everyone. */
  readonly retention?: RetentionLimits;
  /** Retention removes nothing after this sequence from here on; "state": after the one in the state, if there is one. */
  readonly hold?: number | "state";
  /** Every worker and job may be beyond its limits, not only those that grow. */
  readonly trimsAll?: boolean;
  /** What is not in the stream any more though retention kept it: up to which sequence, by worker and by job. */
  readonly lost?: readonly { readonly isJob: boolean; readonly id: string; readonly sequence: number }[];
}

/** "takes": is the keeper from here on, "leaves": nobody is, "keeps": nothing changes. */
export type KeeperRole = (typeof keeperRoles)[number];
const keeperRoles = ["keeps", "takes", "leaves"] as const;

/** An append but for its events, and how many those are. */
export interface GroupAppend extends Omit<AppendBatch, "events"> {
  readonly count: number;
  /** Sequence in the stream that its writer had folded when it was asked for. */
  readonly base: number;
  /**
   * Keys on which another append of the same writer was on its way by then, and the number of the last one that puts them.
   * Where that one was lost on the way this one must not be committed either.
   */
  readonly after?: ReadonlyMap<string, number>;
}

/** Written to again and again: memory of its own takes each of them longer than the writing. */
const headWriter = new BinaryWriter();

const withRetention = 1;
const withHold = 2;
const withStateHold = 4;
const trimsAll = 8;
const withLost = 16;
const withKeeper = 32;

/** Valid until the next one is encoded. */
export function encodeHead(head: GroupHead): Uint8Array {
  const writer = headWriter;
  writer.clear();
  writer.text(head.writer);
  writer.f64(head.number);
  writer.f64(head.timeMs);
  const { keeper, retention, hold, lost } = head;
  writer.u8(
    (retention === undefined ? 0 : withRetention) |
      (typeof hold === "number" ? withHold : 0) |
      (hold === "state" ? withStateHold : 0) |
      (head.trimsAll ? trimsAll : 0) |
      (lost === undefined ? 0 : withLost) |
      (keeper === undefined ? 0 : withKeeper),
  );
  if (keeper !== undefined) {
    writer.text(keeper.id);
    writer.u8(keeperRoles.indexOf(keeper.role));
  }
  if (retention !== undefined) writeRetention(writer, retention);
  if (typeof hold === "number") writer.f64(hold);
  if (lost !== undefined) {
    writer.u32(lost.length);
    for (const { isJob, id, sequence } of lost) {
      writer.u8(isJob ? 1 : 0);
      writer.text(id);
      writer.f64(sequence);
    }
  }
  writer.u32(head.appends.length);
  for (const append of head.appends) writeAppend(writer, append);
  return writer.bytes;
}

/** Throws where the bytes are none that `encodeHead` wrote. */
export function decodeHead(bytes: Uint8Array): GroupHead {
  const reader = new BinaryReader(bytes);
  const head = { writer: reader.text(), number: reader.f64(), timeMs: reader.f64() };
  const parts = reader.u8();
  const keeper = (parts & withKeeper) === 0 ? undefined : readKeeper(reader);
  const retention = (parts & withRetention) === 0 ? undefined : readRetention(reader);
  const hold = (parts & withHold) !== 0 ? reader.f64() : (parts & withStateHold) !== 0 ? ("state" as const) : undefined;
  const lost = (parts & withLost) === 0 ? undefined : readMany(reader, () => readLost(reader));
  const appends: GroupAppend[] = [];
  for (let left = reader.u32(); left > 0; left--) appends.push(readAppend(reader));
  // Most groups are appends and nothing else.
  if (parts === 0) return { ...head, appends };
  return {
    ...head,
    appends,
    ...(keeper === undefined ? {} : { keeper }),
    ...(retention === undefined ? {} : { retention }),
    ...(hold === undefined ? {} : { hold }),
    ...((parts & trimsAll) === 0 ? {} : { trimsAll: true }),
    ...(lost === undefined ? {} : { lost }),
  };
}

export function writeRetention(writer: BinaryWriter, retention: RetentionLimits): void {
  writer.f64(retention.workerEvents);
  writer.f64(retention.workerBytes);
  writer.f64(retention.workerAgeMs);
  writer.f64(retention.events);
  writer.f64(retention.bytes);
  writer.f64(retention.ageMs);
}

export function readRetention(reader: BinaryReader): RetentionLimits {
  return {
    workerEvents: reader.f64(),
    workerBytes: reader.f64(),
    workerAgeMs: reader.f64(),
    events: reader.f64(),
    bytes: reader.f64(),
    ageMs: reader.f64(),
  };
}

function readKeeper(reader: BinaryReader) {
  const id = reader.text();
  const role = keeperRoles[reader.u8()];
  if (role === undefined) throw new RangeError("there is no such role of a keeper");
  return { id, role };
}

function readLost(reader: BinaryReader) {
  return { isJob: reader.u8() === 1, id: reader.text(), sequence: reader.f64() };
}

const removes = 0;
const puts = 1;
const putsWithResult = 2;

function writeAppend(writer: BinaryWriter, append: GroupAppend): void {
  writer.u32(append.count);
  writer.f64(append.base);
  writer.u32(append.state?.size ?? 0);
  for (const [key, put] of append.state ?? []) {
    writer.text(key);
    if (put === null) {
      writer.u8(removes);
    } else if (put instanceof Uint8Array) {
      writer.u8(puts);
      writer.data(put);
    } else {
      writer.u8(putsWithResult);
      writer.data(put.bytes);
      writer.u32(put.resultAt);
    }
  }
  writeIds(writer, append.forgetWorkers);
  writeIds(writer, append.forgetJobs);
  writeIds(writer, append.fence);
  writer.u32(append.after?.size ?? 0);
  for (const [key, number] of append.after ?? []) {
    writer.text(key);
    writer.f64(number);
  }
}

function writeIds(writer: BinaryWriter, ids: readonly string[] = []): void {
  writer.u32(ids.length);
  for (const id of ids) writer.text(id);
}

/** Most appends are events and nothing else, so nothing is made for what is not there. */
function readAppend(reader: BinaryReader): GroupAppend {
  const append: { -readonly [K in keyof GroupAppend]: GroupAppend[K] } = { count: reader.u32(), base: reader.f64() };
  const state = readMap(reader, readPut);
  if (state !== undefined) append.state = state;
  const forgetWorkers = readIds(reader);
  if (forgetWorkers !== undefined) append.forgetWorkers = forgetWorkers;
  const forgetJobs = readIds(reader);
  if (forgetJobs !== undefined) append.forgetJobs = forgetJobs;
  const fence = readIds(reader);
  if (fence !== undefined) append.fence = fence;
  const after = readMap(reader, readNumber);
  if (after !== undefined) append.after = after;
  return append;
}

function readMap<T>(reader: BinaryReader, readValue: (reader: BinaryReader) => T): Map<string, T> | undefined {
  const size = reader.u32();
  if (size === 0) return undefined;
  const map = new Map<string, T>();
  for (let left = size; left > 0; left--) map.set(reader.text(), readValue(reader));
  return map;
}

function readIds(reader: BinaryReader): string[] | undefined {
  const length = reader.u32();
  if (length === 0) return undefined;
  const ids: string[] = [];
  for (let left = length; left > 0; left--) ids.push(reader.text());
  return ids;
}

function readNumber(reader: BinaryReader): number {
  return reader.f64();
}

function readPut(reader: BinaryReader): StatePut {
  const kind = reader.u8();
  if (kind === removes) return null;
  const bytes = reader.data();
  return kind === puts ? bytes : { bytes, resultAt: reader.u32() };
}

function readMany<T>(reader: BinaryReader, readOne: () => T): T[] {
  const many: T[] = [];
  for (let left = reader.u32(); left > 0; left--) many.push(readOne());
  return many;
}
