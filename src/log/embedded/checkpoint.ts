import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { LogIndex } from "../index/log-index.ts";
import type { Floor } from "../index/worker.ts";
import { BinaryReader, BinaryWriter } from "./binary.ts";
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
  writeFloor(writer, index.floor);
  writeFloor(writer, index.forgottenFloor);
  const entries = index.entries.filter((entry) => entry?.exists);
  writer.u32(entries.length);
  for (const entry of entries) {
    if (entry === undefined) continue;
    writer.u32(numbers.storedOf(entry.number));
    writer.text(entry.id);
    writer.f64(entry.lastOrdinal);
    writer.f64(entry.createTimeMs);
    writer.f64(entry.lastTimeMs);
    writeFloor(writer, entry.floor);
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
 * Puts back what the checkpoint in `directory` says; undefined if there is none.
 * @throws TailraceError `log_open_failed` for one that is damaged, or of a newer release.
 */
export async function restoreCheckpoint(
  fileSystem: FileSystem,
  directory: string,
  index: LogIndex,
  numbers: WorkerNumbers,
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
  index.raiseRuntime(readFloor(reader));
  index.raiseForgotten(readFloor(reader));
  for (let left = reader.u32(); left > 0; left--) {
    const stored = reader.u32();
    const entry = index.entryToGrow(reader.text());
    if (entry.number !== 0) numbers.bind(entry.number, stored);
    index.restoreWorker(entry, reader.f64(), reader.f64(), reader.f64());
    entry.floor = readFloor(reader);
  }
  const state = new Map<string, Uint8Array>();
  for (let left = reader.u32(); left > 0; left--) state.set(reader.text(), reader.data());
  index.putState(state);
  return { through, size: bytes.length };
}

function writeFloor(writer: BinaryWriter, floor: Floor): void {
  writer.f64(floor.sequence);
  writer.f64(floor.ordinal);
  writer.f64(floor.workerOrdinal);
}

function readFloor(reader: BinaryReader): Floor {
  return { sequence: reader.f64(), ordinal: reader.f64(), workerOrdinal: reader.f64() };
}
