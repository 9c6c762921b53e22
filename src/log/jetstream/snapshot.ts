import { BinaryReader, BinaryWriter } from "../binary.ts";
import type { LogIndex } from "../index/log-index.ts";
import { restoreEvent, settle } from "../index/restore.ts";
import { type Floor, noFloor, type ScopeEntry } from "../index/scope-entry.ts";
import { newEventArrays, setJob } from "../index/staged.ts";
import type { Fold } from "./fold.ts";
import { readRetention, writeRetention } from "./messages.ts";

const formatVersion = 1;

/** All that a fold knows, so that another one can go on from there. */
export function encodeSnapshot(fold: Fold): Uint8Array {
  const { index, puts } = fold;
  const writer = new BinaryWriter();
  writer.u32(formatVersion);
  writer.f64(fold.last);
  writer.f64(index.head.sequence);
  writer.f64(index.head.ordinal);
  writer.f64(index.head.timeMs);
  writeFloor(writer, index.floor);
  writeFloor(writer, index.forgottenFloor);
  writeRetention(writer, index.retention.limits);
  writer.f64(index.retention.hold);
  const workers = writeEntries(writer, index.workers.all(), (entry) => writer.u8(entry.exists ? 1 : 0));
  const jobs = writeEntries(writer, index.jobs.all(), (entry) => {
    writer.f64(entry.firstSequence);
    writer.u8(entry.forgotten ? 0 : 1);
  });
  writer.u32(index.state.size);
  for (const [key, value] of index.state) {
    writer.text(key);
    writer.data(value);
  }
  writer.f64(puts.floor);
  writer.u32(puts.size);
  for (const [key, { at, writer: who }] of puts.entries()) {
    writer.text(key);
    writer.f64(at);
    writer.text(who);
  }
  writeRows(writer, index, workers, jobs);
  return writer.bytes;
}

/** Puts back what a snapshot says into a fold that is empty. Throws where the bytes are none of `encodeSnapshot`. */
export function restoreSnapshot(fold: Fold, bytes: Uint8Array): void {
  const { index } = fold;
  const reader = new BinaryReader(bytes);
  const version = reader.u32();
  if (version !== formatVersion) throw new RangeError(`a snapshot has format ${version}, not ${formatVersion}`);
  const last = reader.f64();
  index.moveHead(reader.f64(), reader.f64(), reader.f64());
  index.raiseRuntime(readFloor(reader));
  index.raiseForgotten(readFloor(reader));
  index.retention.limits = readRetention(reader);
  index.retention.hold = reader.f64();
  const workers: ScopeEntry[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const id = reader.text();
    const exists = reader.u8() === 1;
    const entry = id === "" ? index.workers.none : index.workers.restore(id, 0, noFloor);
    readCounts(reader, entry, exists);
    workers.push(entry);
  }
  const jobs: ScopeEntry[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const id = reader.text();
    const firstSequence = reader.f64();
    const isRemembered = reader.u8() === 1;
    const entry = isRemembered
      ? index.jobs.restore(id, firstSequence, noFloor)
      : index.jobs.restoreName(id, firstSequence);
    if (id !== "") readCounts(reader, entry, isRemembered);
    jobs.push(entry);
  }
  const state = new Map<string, Uint8Array>();
  for (let left = reader.u32(); left > 0; left--) state.set(reader.text(), reader.data());
  index.putState(state);
  const putsFloor = reader.f64();
  const puts: [string, { at: number; writer: string }][] = [];
  for (let left = reader.u32(); left > 0; left--) {
    puts.push([reader.text(), { at: reader.f64(), writer: reader.text() }]);
  }
  fold.puts.restore(putsFloor, puts);
  readRows(reader, index, workers, jobs);
  settle(index);
  // What a hold keeps beyond the limits goes when it moves on.
  index.retention.lookAgainAt([index.workers.none, ...index.workers.existing(), ...index.jobs.existing()]);
  fold.resumeAfter(last);
}

/** Writes entries and gives their places in what was written. */
function writeEntries(
  writer: BinaryWriter,
  all: Iterable<ScopeEntry>,
  writeKind: (entry: ScopeEntry) => void,
): Map<number, number> {
  const entries = [...all].filter((entry) => entry.exists || entry.forgotten || (entry.number === 0 && !entry.isJob));
  const places = new Map<number, number>();
  writer.u32(entries.length);
  for (const entry of entries) {
    places.set(entry.number, places.size);
    writer.text(entry.id);
    writeKind(entry);
    writer.f64(entry.lastOrdinal);
    writer.f64(entry.createTimeMs);
    writer.f64(entry.lastTimeMs);
    writeFloor(writer, entry.floor);
  }
  return places;
}

function readCounts(reader: BinaryReader, entry: ScopeEntry, exists: boolean): void {
  const [lastOrdinal, createTimeMs, lastTimeMs] = [reader.f64(), reader.f64(), reader.f64()];
  const floor = readFloor(reader);
  if (!exists) return;
  entry.lastOrdinal = lastOrdinal;
  entry.createTimeMs = createTimeMs;
  entry.lastTimeMs = lastTimeMs;
  entry.floor = floor;
}

/** What is retained, each column as differences to the row before. */
function writeRows(
  writer: BinaryWriter,
  index: LogIndex,
  workers: ReadonlyMap<number, number>,
  jobs: ReadonlyMap<number, number>,
): void {
  let count = 0;
  for (const chunk of index.columns.chunks) {
    for (let row = 0; row < chunk.length; row++) if (index.isLive(chunk, row)) count++;
  }
  writer.u32(count);
  let [sequence, ordinal, timeMs, segment] = [0, 0, 0, 0];
  for (const chunk of index.columns.chunks) {
    for (let row = 0; row < chunk.length; row++) {
      if (!index.isLive(chunk, row)) continue;
      writer.varint((chunk.sequences[row] as number) - sequence);
      writer.varint((chunk.ordinals[row] as number) - ordinal);
      writer.varint((chunk.times[row] as number) - timeMs);
      writer.varint(((chunk.segments[row] as number) - segment) >>> 0);
      sequence = chunk.sequences[row] as number;
      ordinal = chunk.ordinals[row] as number;
      timeMs = chunk.times[row] as number;
      segment = chunk.segments[row] as number;
      writer.varint(chunk.offsets[row] as number);
      writer.varint(chunk.sizes[row] as number);
      writer.varint(chunk.kinds[row] as number);
      writer.varint(workers.get(chunk.workers[row] as number) as number);
      writer.varint(chunk.workerOrdinals[row] as number);
      const job = chunk.jobs?.[row] ?? 0;
      writer.varint(job === 0 ? 0 : (jobs.get(job) as number) + 1);
      if (job !== 0) writer.varint(chunk.jobOrdinals?.[row] as number);
    }
  }
}

function readRows(
  reader: BinaryReader,
  index: LogIndex,
  workers: readonly ScopeEntry[],
  jobs: readonly ScopeEntry[],
): void {
  let [sequence, ordinal, timeMs, segment] = [0, 0, 0, 0];
  for (let left = reader.u32(); left > 0; left--) {
    const event = newEventArrays(1);
    sequence += reader.varint();
    ordinal += reader.varint();
    timeMs += reader.varint();
    segment = (segment + reader.varint()) >>> 0;
    event.sequences[0] = sequence;
    event.ordinals[0] = ordinal;
    event.times[0] = timeMs;
    const offset = reader.varint();
    event.sizes[0] = reader.varint();
    event.kinds[0] = reader.varint();
    const worker = workers[reader.varint()] as ScopeEntry;
    event.workerOrdinals[0] = reader.varint();
    const jobPlace = reader.varint();
    const job = jobPlace === 0 ? undefined : (jobs[jobPlace - 1] as ScopeEntry);
    if (job !== undefined) setJob(event, 0, job.number, reader.varint());
    restoreEvent(index, event, 0, { segment, offset }, worker, job);
  }
}

function writeFloor(writer: BinaryWriter, floor: Floor): void {
  writer.f64(floor.sequence);
  writer.f64(floor.ordinal);
  writer.f64(floor.scopeOrdinal);
}

function readFloor(reader: BinaryReader): Floor {
  return { sequence: reader.f64(), ordinal: reader.f64(), scopeOrdinal: reader.f64() };
}
