import type { EpochBeginning } from "../../../events/epochs.ts";
import { BinaryReader, BinaryWriter } from "../../binary.ts";
import type { Chunk } from "../../index/chunk.ts";
import type { LogIndex } from "../../index/log-index.ts";
import { restoreEvent, settle } from "../../index/restore.ts";
import { type Floor, noFloor, type ScopeEntry } from "../../index/scope-entry.ts";
import { newEventArrays, setJob } from "../../index/staged.ts";
import { readRetention, writeRetention } from "../stream/heads.ts";
import { NewerFormat } from "../stream/messages.ts";
import type { Fold } from "./fold.ts";
import type { Put } from "./puts.ts";

const formatVersion = 1;

/** Bytes of a piece, about. Each is made in one go, so this bounds for how long the event loop stands still. */
const pieceBytes = 256 * 1024;

/** What the index has of a worker or a job, as it was at the cut. */
interface EntryAtCut {
  readonly entry: ScopeEntry;
  readonly exists: boolean;
  readonly forgotten: boolean;
  readonly lastOrdinal: number;
  readonly createTimeMs: number;
  readonly lastTimeMs: number;
  readonly floor: Floor;
}

/**
 * All that a fold knows at one moment, so that another one can go on from there. It is noted at once what there is, and
 * written piece by piece while the fold goes on: rows, values and floors do not change, they are only replaced.
 */
export class SnapshotCut {
  /** Sequence in the stream that it holds. */
  readonly through: number;
  readonly #head: Uint8Array;
  readonly #workers: readonly EntryAtCut[];
  readonly #jobs: readonly EntryAtCut[];
  readonly #state: readonly (readonly [string, Uint8Array])[];
  readonly #puts: readonly (readonly [string, Put])[];
  readonly #lives: readonly (readonly [string, number])[];
  readonly #chunks: readonly { readonly chunk: Chunk; readonly length: number }[];

  constructor(fold: Fold) {
    const { index, puts, lives } = fold;
    this.through = fold.last;
    this.#head = encodeHead(fold);
    this.#workers = entriesOf(index.workers.all());
    this.#jobs = entriesOf(index.jobs.all());
    this.#state = [...index.state];
    this.#puts = [...puts.entries()];
    this.#lives = [...lives.entries()];
    this.#chunks = index.columns.chunks.map((chunk) => ({ chunk, length: chunk.length }));
  }

  /** The snapshot, one piece after the other. */
  *pieces(): Generator<Uint8Array> {
    let writer = new BinaryWriter();
    writer.raw(this.#head);
    for (const part of [
      this.#writeEntries(() => writer),
      this.#writeState(() => writer),
      this.#writeRows(() => writer),
    ]) {
      for (const _ of part) {
        if (writer.length < pieceBytes) continue;
        yield writer.bytes;
        writer = new BinaryWriter();
      }
    }
    if (writer.length > 0) yield writer.bytes;
  }

  *#writeEntries(writer: () => BinaryWriter): Generator<void> {
    for (const entries of [this.#workers, this.#jobs]) {
      writer().u32(entries.length);
      for (const { entry, exists, forgotten, lastOrdinal, createTimeMs, lastTimeMs, floor } of entries) {
        writer().text(entry.id);
        if (entry.isJob) writer().f64(entry.firstSequence);
        writer().u8(entry.isJob ? Number(!forgotten) : Number(exists));
        writer().f64(lastOrdinal);
        writer().f64(createTimeMs);
        writer().f64(lastTimeMs);
        writeFloor(writer(), floor);
        yield;
      }
    }
  }

  *#writeState(writer: () => BinaryWriter): Generator<void> {
    writer().u32(this.#state.length);
    for (const [key, value] of this.#state) {
      writer().text(key);
      writer().data(value);
      yield;
    }
    writer().u32(this.#puts.length);
    for (const [key, put] of this.#puts) {
      writer().text(key);
      writer().f64(put.at);
      writer().text(put.writer);
      writer().f64(put.number);
      yield;
    }
    writer().u32(this.#lives.length);
    for (const [server, life] of this.#lives) {
      writer().text(server);
      writer().f64(life);
      yield;
    }
  }

  /** What is retained, most columns as differences to the row before. */
  *#writeRows(writer: () => BinaryWriter): Generator<void> {
    const workers = placesOf(this.#workers);
    const jobs = placesOf(this.#jobs);
    let [sequence, ordinal, timeMs, segment] = [0, 0, 0, 0];
    for (const { chunk, length } of this.#chunks) {
      for (let row = 0; row < length; row++) {
        const worker = workers.get(chunk.workers[row] as number);
        const job = jobs.get(chunk.jobs?.[row] ?? 0);
        const holder = job === undefined || job.at.forgotten ? worker : job;
        // Its worker is forgotten only once nothing of it is retained.
        if (worker === undefined || holder === undefined) continue;
        if ((chunk.sequences[row] as number) <= holder.at.floor.sequence) continue;
        const out = writer();
        out.varint((chunk.sequences[row] as number) - sequence);
        out.varint((chunk.ordinals[row] as number) - ordinal);
        out.varint((chunk.times[row] as number) - timeMs);
        out.varint(((chunk.segments[row] as number) - segment) >>> 0);
        sequence = chunk.sequences[row] as number;
        ordinal = chunk.ordinals[row] as number;
        timeMs = chunk.times[row] as number;
        segment = chunk.segments[row] as number;
        out.varint(chunk.offsets[row] as number);
        out.varint(chunk.sizes[row] as number);
        out.varint(chunk.kinds[row] as number);
        out.varint(worker.place);
        out.varint(chunk.workerOrdinals[row] as number);
        out.varint(job === undefined ? 0 : job.place + 1);
        if (job !== undefined) out.varint(chunk.jobOrdinals?.[row] as number);
        yield;
      }
    }
    // No row has the sequence of the one before.
    writer().varint(0);
    yield;
  }
}

function encodeHead({ index, last, puts, keeper }: Fold): Uint8Array {
  const writer = new BinaryWriter();
  writer.u32(formatVersion);
  writer.f64(last);
  writer.f64(index.head.sequence);
  writer.f64(index.head.ordinal);
  writer.f64(index.head.timeMs);
  writeFloor(writer, index.removal.floor);
  writeFloor(writer, index.removal.forgottenFloor);
  writeRetention(writer, index.retention.limits);
  writer.f64(index.retention.hold);
  writer.f64(puts.floor);
  writer.text(keeper);
  writer.f64(index.epochs.forgottenThrough);
  writer.u32(index.epochs.size);
  for (const { after, writer: beganBy } of index.epochs.beginnings()) {
    writer.f64(after);
    writer.text(beganBy);
  }
  return writer.bytes;
}

function entriesOf(all: Iterable<ScopeEntry>): EntryAtCut[] {
  const entries: EntryAtCut[] = [];
  for (const entry of all) {
    const { exists, forgotten, lastOrdinal, createTimeMs, lastTimeMs, floor } = entry;
    if (!exists && !forgotten && (entry.isJob || entry.number !== 0)) continue;
    entries.push({ entry, exists, forgotten, lastOrdinal, createTimeMs, lastTimeMs, floor });
  }
  return entries;
}

/** By number, in which place an entry is written. */
function placesOf(entries: readonly EntryAtCut[]): Map<number, { readonly at: EntryAtCut; readonly place: number }> {
  return new Map(entries.map((at, place) => [at.entry.number, { at, place }]));
}

/** Puts back what a snapshot says into a fold that is empty. Throws where the bytes are not those of a `SnapshotCut`. */
export function restoreSnapshot(fold: Fold, bytes: Uint8Array): void {
  const { index } = fold;
  const reader = new BinaryReader(bytes);
  const version = reader.u32();
  if (version !== formatVersion) throw new NewerFormat("a snapshot", version);
  const last = reader.f64();
  index.moveHead(reader.f64(), reader.f64(), reader.f64());
  index.removal.raiseRuntime(readFloor(reader));
  index.removal.raiseForgotten(readFloor(reader));
  index.retention.limits = readRetention(reader);
  index.retention.hold = reader.f64();
  const putsFloor = reader.f64();
  fold.keeper = reader.text();
  const forgottenThrough = reader.f64();
  const epochs: EpochBeginning[] = [];
  for (let left = reader.u32(); left > 0; left--) epochs.push({ after: reader.f64(), writer: reader.text() });
  index.epochs.restore(epochs, forgottenThrough);
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
  const puts: [string, Put][] = [];
  for (let left = reader.u32(); left > 0; left--) {
    puts.push([reader.text(), { at: reader.f64(), writer: reader.text(), number: reader.f64() }]);
  }
  fold.puts.restore(putsFloor, puts);
  const lives: [string, number][] = [];
  for (let left = reader.u32(); left > 0; left--) lives.push([reader.text(), reader.f64()]);
  fold.lives.restore(lives);
  readRows(reader, index, workers, jobs);
  settle(index);
  // What a hold keeps beyond the limits goes when it moves on.
  index.retention.lookAgainAt([index.workers.none, ...index.workers.existing(), ...index.jobs.existing()]);
  fold.resumeAfter(last);
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

function readRows(
  reader: BinaryReader,
  index: LogIndex,
  workers: readonly ScopeEntry[],
  jobs: readonly ScopeEntry[],
): void {
  let [sequence, ordinal, timeMs, segment] = [0, 0, 0, 0];
  for (let further = reader.varint(); further > 0; further = reader.varint()) {
    const event = newEventArrays(1);
    sequence += further;
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
