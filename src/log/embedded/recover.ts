import { join } from "node:path";
import type { LogIndex } from "../index/log-index.ts";
import { type DecodedBatch, decodeBatch, headerBytes } from "./batch.ts";
import { unsetBytes } from "./binary.ts";
import { type Change, decodeChanges } from "./changes.ts";
import { type CheckpointScan, restoreCheckpoint } from "./checkpoint.ts";
import type { FileSystem, LogFile } from "./file-system.ts";
import { corrupt, openFailed } from "./open-errors.ts";
import { readSegmentHeader, Segment, segmentHeaderBytes, segmentName, segmentNumber } from "./segment.ts";
import { isTorn } from "./torn.ts";
import type { WorkerNumbers } from "./worker-numbers.ts";

/**
 * What may not be whole at the end of the last segment: nothing (the log was closed in order), the batch that was being
 * written, or (the machine went down without a sync) anything.
 */
export type Tail = "none" | "batch" | "any";

/** What the files of a log hold. */
export interface Recovered {
  /** In the order of their numbers; the last one is written to. */
  readonly segments: Segment[];
  readonly checkpoint: CheckpointScan | undefined;
}

/**
 * Rebuilds the index from the files in `directory` (the folder of segments), verifying every byte. A batch that was
 * never whole at the end of the last segment is cut off.
 *
 * @throws TailraceError `log_open_failed`.
 */
export async function recover(
  fileSystem: FileSystem,
  directory: string,
  index: LogIndex,
  numbers: WorkerNumbers,
  tail: Tail,
): Promise<Recovered> {
  const names = await fileSystem.list(directory);
  // What a replacement that was under way left behind.
  for (const name of names) if (name.endsWith(".tmp")) await fileSystem.remove(join(directory, name));
  const checkpoint = await restoreCheckpoint(fileSystem, directory, index, numbers);
  const segmentNumbers = names
    .map(segmentNumber)
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);
  if (checkpoint === undefined && segmentNumbers.length > 0 && segmentNumbers[0] !== 1) {
    throw corrupt(join(directory, "checkpoint"), 0, "it is missing, and the first segments are gone");
  }
  const segments: Segment[] = [];
  let loading: Promise<LoadedSegment> | undefined;
  try {
    let mergedThrough = 0;
    for (const [i, number] of segmentNumbers.entries()) {
      if (number <= mergedThrough) {
        // Its survivors are in the segment before; only its removal was cut short.
        if (loading !== undefined) await (await loading).file.close();
        loading = undefined;
        await fileSystem.remove(join(directory, segmentName(number)));
        continue;
      }
      const loaded: LoadedSegment = await (loading ?? loadSegment(fileSystem, directory, number));
      const next = segmentNumbers[i + 1];
      // The disk reads the next one while this one is looked through.
      loading = next === undefined ? undefined : loadSegment(fileSystem, directory, next);
      loading?.catch(() => undefined);
      const segment = await recoverSegment(fileSystem, loaded, index, numbers, {
        replays: number > (checkpoint?.through ?? 0),
        tail: next === undefined ? tail : "none",
      });
      if (segment === undefined) continue;
      mergedThrough = segment.through;
      segments.push(segment);
    }
    index.rankAll();
    checkComplete(directory, index);
  } catch (error) {
    for (const segment of segments) segment.drop();
    await loading?.then(
      ({ file }) => file.close(),
      () => undefined,
    );
    throw error;
  }
  return { segments, checkpoint };
}

interface LoadedSegment {
  readonly number: number;
  readonly path: string;
  readonly file: LogFile;
  readonly bytes: Uint8Array;
}

async function loadSegment(fileSystem: FileSystem, directory: string, number: number): Promise<LoadedSegment> {
  const path = join(directory, segmentName(number));
  const file = await fileSystem.open(path);
  try {
    const bytes = unsetBytes(await file.size());
    await file.read(bytes, 0);
    return { number, path, file, bytes };
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}

async function recoverSegment(
  fileSystem: FileSystem,
  { number, path, file, bytes }: LoadedSegment,
  index: LogIndex,
  numbers: WorkerNumbers,
  mode: { readonly replays: boolean; readonly tail: Tail },
): Promise<Segment | undefined> {
  try {
    if (mode.tail !== "none" && isTorn(bytes, 0, segmentHeaderBytes)) {
      // It was being made when the machine went down. Nothing was ever in it.
      await file.close();
      await fileSystem.remove(path);
      return undefined;
    }
    const through = readSegmentHeader(bytes, path, number);
    let at = segmentHeaderBytes;
    while (at < bytes.length) {
      const batch = decodeBatch(bytes, at);
      if ("damaged" in batch) {
        // With a header that does not hold, where the batch ends is not known; what can be told is whether it was written.
        const length = batch.header ? headerBytes : batch.length;
        const isFollowed = !batch.header && at + length < bytes.length;
        const mayBeTorn = mode.tail === "any" || (mode.tail === "batch" && !isFollowed);
        if (!mayBeTorn || !isTorn(bytes, at, length)) throw corrupt(path, at, batch.what);
        await file.truncate(at);
        await file.datasync();
        break;
      }
      restoreBatch(batch, at, number, path, index, numbers, mode.replays);
      at += batch.length;
    }
    return new Segment(number, through, file, at);
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}

function restoreBatch(
  batch: DecodedBatch,
  at: number,
  segment: number,
  path: string,
  index: LogIndex,
  numbers: WorkerNumbers,
  replays: boolean,
): void {
  const { events } = batch;
  const changes = replays ? changesOf(batch, path, at) : [];
  for (const change of changes) {
    if (change.kind === "define") numbers.bind(index.entryToGrow(change.workerId).number, change.worker);
  }
  if (replays && events.length > 0 && events.ordinals[0] !== index.head.ordinal + 1) {
    throw corrupt(path, at, `event ${index.head.ordinal + 1} is missing before it`);
  }
  let offset = at + batch.eventsOffset;
  for (let i = 0; i < events.length; i++) {
    const size = events.sizes[i] as number;
    const worker = numbers.liveOf(events.workers[i] as number);
    // Events of a worker that was forgotten, or below its floor, wait for their segment to be reclaimed.
    if (worker !== undefined && (events.sequences[i] as number) > (index.entries[worker]?.floor.sequence ?? 0)) {
      events.workers[i] = worker;
      index.restore(events, i, segment, offset);
    }
    offset += size;
  }
  if (!replays) return;
  const last = events.length - 1;
  if (last >= 0) index.moveHead(events.sequences[last] as number, events.ordinals[last] as number, batch.timeMs);
  for (const change of changes) applyChange(change, index, numbers);
}

function changesOf(batch: DecodedBatch, path: string, at: number): Change[] {
  try {
    return decodeChanges(batch.changes);
  } catch (error) {
    throw corrupt(path, at, `it can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function applyChange(change: Change, index: LogIndex, numbers: WorkerNumbers): void {
  switch (change.kind) {
    case "define":
      return;
    case "state":
      index.putState(new Map([[change.key, change.value]]));
      return;
    case "raise": {
      const worker = numbers.liveOf(change.worker);
      if (worker !== undefined) index.restoreFloor({ ...change, worker });
      return;
    }
    case "forget": {
      const worker = numbers.liveOf(change.worker);
      const entry = worker === undefined ? undefined : index.entries[worker];
      if (entry === undefined) return;
      index.forget(entry);
      numbers.release(entry.number);
    }
  }
}

/** The retained events of a worker are its newest, without holes: a segment that is missing shows here. */
function checkComplete(directory: string, index: LogIndex): void {
  for (const entry of index.entries) {
    if (entry === undefined || entry.number === 0) continue;
    const missing = entry.lastOrdinal - entry.floor.workerOrdinal - entry.retainedEvents;
    if (missing !== 0) {
      throw openFailed(
        "corrupt",
        `The segments in ${directory} do not hold all that they should: ${missing} events of one worker are missing. Restore the directory from a backup, or move it away to start with an empty log.`,
      );
    }
  }
}
