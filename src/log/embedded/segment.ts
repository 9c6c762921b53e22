import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { FileSystem, LogFile } from "./file-system.ts";
import { corrupt, newerFormat } from "./open-errors.ts";

const magic = 0x4753_4c54; // "TLSG"
const formatVersion = 1;
/** magic, format version, number, number of the last segment that was merged into this one, checksum: u32 each. */
export const segmentHeaderBytes = 20;

const namePattern = /^(\d{10})\.segment$/;

/** A file of batches. It is read by whoever holds it, and closed when it is gone and nobody does. */
export class Segment {
  readonly number: number;
  /** The last of the segments that were merged into this one; else its own number. */
  readonly through: number;
  readonly file: LogFile;
  size: number;
  #readers = 0;
  #dropped = false;

  constructor(number: number, through: number, file: LogFile, size: number) {
    this.number = number;
    this.through = through;
    this.file = file;
    this.size = size;
  }

  /** Keeps the file open, also when the segment is dropped, until `letGo`. */
  hold(): void {
    this.#readers++;
  }

  letGo(): void {
    this.#readers--;
    this.#closeIfUnused();
  }

  /** Fills `target`. The caller holds the segment, or is the one that drops it. */
  async read(target: Uint8Array, position: number): Promise<void> {
    const count = await this.file.read(target, position);
    if (count < target.length) throw new Error(`segment ${this.number} ends at byte ${position + count}`);
  }

  /** The segment is gone from the log. */
  drop(): void {
    this.#dropped = true;
    this.#closeIfUnused();
  }

  #closeIfUnused(): void {
    if (this.#dropped && this.#readers === 0) this.file.close().catch(() => undefined);
  }
}

export function segmentName(number: number): string {
  return `${String(number).padStart(10, "0")}.segment`;
}

/** The number of the segment in a file of this name; undefined if it is none. */
export function segmentNumber(name: string): number | undefined {
  const match = namePattern.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export function encodeSegmentHeader(number: number, through: number): Uint8Array {
  const bytes = new Uint8Array(segmentHeaderBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint32(4, formatVersion, true);
  view.setUint32(8, number, true);
  view.setUint32(12, through, true);
  view.setUint32(16, crc32(bytes.subarray(0, segmentHeaderBytes - 4)), true);
  return bytes;
}

/** The last segment merged into the one at `path`. @throws TailraceError `log_open_failed`. */
export function readSegmentHeader(bytes: Uint8Array, path: string, number: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < segmentHeaderBytes || view.getUint32(0, true) !== magic) {
    throw corrupt(path, 0, "it is no segment of a log");
  }
  // The version comes before everything that another version may have elsewhere.
  const version = view.getUint32(4, true);
  if (version > formatVersion) throw newerFormat(path, version, formatVersion);
  if (view.getUint32(16, true) !== crc32(bytes.subarray(0, segmentHeaderBytes - 4))) {
    throw corrupt(path, 0, "its header does not hold");
  }
  if (view.getUint32(8, true) !== number) throw corrupt(path, 8, "it is another segment than its name says");
  return view.getUint32(12, true);
}

/** Makes a new, empty segment that survives the loss of power. */
export async function createSegment(fileSystem: FileSystem, directory: string, number: number): Promise<Segment> {
  const path = join(directory, segmentName(number));
  const file = await fileSystem.open(path, true);
  try {
    await file.write(encodeSegmentHeader(number, number), 0);
    await file.datasync();
    await fileSystem.syncDirectory(directory);
  } catch (error) {
    await file.close().catch(() => undefined);
    await fileSystem.remove(path).catch(() => undefined);
    throw error;
  }
  return new Segment(number, number, file, segmentHeaderBytes);
}
