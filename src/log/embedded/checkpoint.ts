import { join } from "node:path";
import { crc32 } from "node:zlib";
import { BinaryReader, BinaryWriter } from "../binary.ts";
import type { LogIndex } from "../index/log-index.ts";
import { noFloor, type ScopeEntry } from "../index/scope-entry.ts";
import { readFloor, writeFloor } from "./changes.ts";
import { codeOf, type FileSystem } from "./file-system.ts";
import { corrupt, newerFormat } from "./open-errors.ts";
import type { WorkerNumbers } from "./worker-numbers.ts";

const magic = 0x50434c54; // "TLCP"
const formatVersion = 1;

/** Everything that the segments up to one say, apart from their events: what lets those segments go. */
export interface CheckpointScan {
  /** Number of the last segment that is covered. */
  readonly through: number;
  /** Bytes of the file. */
  readonly size: number;
}

/** The checkpoint of what is committed now, at the end of segment `through`. */
export function encodeCheckpoint(index: LogIndex, numbers: WorkerNumbers, through: number): Uint8Array {
  const writer = new BinaryWriter();
  writer.u32(magic);
  writer.u32(formatVersion);
  writer.u32(through);
  writer.u32(numbers.next);
  writer.f64(index.head.sequence);
  writer.f64(index.head.ordinal);
  writer.f64(index.head.timeMs);
  writeFloor(writer, index.removal.floor);
  writeFloor(writer, index.removal.forgottenFloor);
  const workers = [...index.workers.all()].filter((entry) => entry.exists);
  writer.u32(workers.length);
  for (const entry of workers) {
    writer.u32(numbers.storedOf(entry.number));
    writer.text(entry.id);
    writeCounts(writer, entry);
  }
  const jobs = [...index.jobs.all()].filter((entry) => entry.exists || entry.forgotten);
  writer.u32(jobs.length);
  for (const entry of jobs) {
    writer.f64(entry.firstSequence);
    writer.text(entry.id);
    writer.u8(entry.forgotten ? 0 : 1);
    if (!entry.forgotten) writeCounts(writer, entry);
  }
  writer.u32(index.state.size);
  for (const [key, value] of index.state) {
    writer.text(key);
    writer.data(value);
  }
  writer.u32(crc32(writer.bytes));
  return writer.bytes;
}

/**
 * Puts back what the checkpoint in `directory` says; undefined if there is none. `jobs` takes the jobs by the sequences of
 * their first events.
 * @throws TailraceError `log_open_failed` for one that is damaged, or of a newer release.
 */
export async function restoreCheckpoint(
  fileSystem: FileSystem,
  directory: string,
  index: LogIndex,
  numbers: WorkerNumbers,
  jobs: Map<number, ScopeEntry>,
): Promise<CheckpointScan | undefined> {
  const path = join(directory, "checkpoint");
  let bytes: Uint8Array;
  try {
    bytes = await fileSystem.readFile(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 12 || view.getUint32(0, true) !== magic) throw corrupt(path, 0, "it is no checkpoint");
  // The version comes before everything that another version may have elsewhere.
  const version = view.getUint32(4, true);
  if (version > formatVersion) throw newerFormat(path, version, formatVersion);
  if (view.getUint32(bytes.length - 4, true) !== crc32(bytes.subarray(0, bytes.length - 4))) {
    throw corrupt(path, bytes.length - 4, "its checksum does not fit");
  }
  const reader = new BinaryReader(bytes.subarray(8, bytes.length - 4));
  const through = reader.u32();
  numbers.reserveThrough(reader.u32() - 1);
  index.moveHead(reader.f64(), reader.f64(), reader.f64());
  index.removal.raiseRuntime(readFloor(reader));
  index.removal.raiseForgotten(readFloor(reader));
  for (let left = reader.u32(); left > 0; left--) {
    const stored = reader.u32();
    const entry = restoreWorker(index, numbers, stored, reader.text());
    readCounts(reader, entry);
  }
  for (let left = reader.u32(); left > 0; left--) {
    const firstSequence = reader.f64();
    const id = reader.text();
    const isRemembered = reader.u8() === 1;
    const entry = isRemembered
      ? index.jobs.restore(id, firstSequence, noFloor)
      : index.jobs.restoreName(id, firstSequence);
    jobs.set(firstSequence, entry);
    if (isRemembered) readCounts(reader, entry);
  }
  const state = new Map<string, Uint8Array>();
  for (let left = reader.u32(); left > 0; left--) state.set(reader.text(), reader.data());
  index.putState(state);
  return { through, size: bytes.length };
}

/** The worker that the files know by `stored`, put back. */
export function restoreWorker(index: LogIndex, numbers: WorkerNumbers, stored: number, id: string): ScopeEntry {
  if (id === "") return index.workers.none;
  const entry = index.workers.restore(id, 0, index.removal.forgottenFloor);
  numbers.bind(entry.number, stored);
  return entry;
}

function writeCounts(writer: BinaryWriter, entry: ScopeEntry): void {
  writer.f64(entry.lastOrdinal);
  writer.f64(entry.createTimeMs);
  writer.f64(entry.lastTimeMs);
  writeFloor(writer, entry.floor);
}

function readCounts(reader: BinaryReader, entry: ScopeEntry): void {
  entry.lastOrdinal = reader.f64();
  entry.createTimeMs = reader.f64();
  entry.lastTimeMs = reader.f64();
  entry.floor = readFloor(reader);
}
