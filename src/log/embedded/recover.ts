import { join } from "node:path";
import { unsetBytes } from "../binary.ts";
import type { LogIndex } from "../index/log-index.ts";
import { restoreEvent, settle } from "../index/restore.ts";
import { type FloorRaise, noFloor, type ScopeEntry } from "../index/scope-entry.ts";
import { type DecodedBatch, decodeBatch, headerBytes } from "./batch.ts";
import { type Change, decodeChanges } from "./changes.ts";
import { type CheckpointScan, restoreCheckpoint, restoreWorker } from "./checkpoint.ts";
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
  const jobs = new Map<number, ScopeEntry>();
  const checkpoint = await restoreCheckpoint(fileSystem, directory, index, numbers, jobs);
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
      const segment = await recoverSegment(
        fileSystem,
        loaded,
        { index, numbers, jobs },
        {
          replays: number > (checkpoint?.through ?? 0),
          tail: next === undefined ? tail : "none",
        },
      );
      if (segment === undefined) continue;
      mergedThrough = segment.through;
      segments.push(segment);
    }
    settle(index);
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
  found: Found,
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
      restoreBatch(batch, at, number, path, found, mode.replays);
      at += batch.length;
    }
    return new Segment(number, through, file, at);
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}

/** What the segments looked through so far say. */
interface Found {
  readonly index: LogIndex;
  readonly numbers: WorkerNumbers;
  /** By the sequences of their first events. */
  readonly jobs: Map<number, ScopeEntry>;
}

function restoreBatch(
  batch: DecodedBatch,
  at: number,
  segment: number,
  path: string,
  found: Found,
  replays: boolean,
): void {
  const { events, jobKeys } = batch;
  const { index, numbers, jobs } = found;
  const changes = replays ? changesOf(batch, path, at) : [];
  for (const change of changes) {
    if (change.kind === "define") restoreWorker(index, numbers, change.worker, change.workerId);
    if (change.kind === "defineJob") jobs.set(change.job, index.jobs.restore(change.jobId, change.job, noFloor));
  }
  if (replays && events.length > 0 && events.ordinals[0] !== index.head.ordinal + 1) {
    throw corrupt(path, at, `event ${index.head.ordinal + 1} is missing before it`);
  }
  let offset = at + batch.eventsOffset;
  for (let i = 0; i < events.length; i++) {
    const number = numbers.liveOf(events.workers[i] as number);
    const worker = number === undefined ? undefined : index.workers.get(number);
    const jobKey = jobKeys === undefined ? 0 : (jobKeys[i] as number);
    const job = jobKey === 0 ? undefined : jobs.get(jobKey);
    // Events of a worker that was forgotten, or of a job whose name went with what it held, wait for their segment to be
    // reclaimed.
    if (worker !== undefined && (job !== undefined || jobKey === 0)) {
      restoreEvent(index, events, i, { segment, offset }, worker, job);
    }
    offset += events.sizes[i] as number;
  }
  if (!replays) return;
  const last = events.length - 1;
  if (last >= 0) index.moveHead(events.sequences[last] as number, events.ordinals[last] as number, batch.timeMs);
  applyChanges(changes, found);
}

function changesOf(batch: DecodedBatch, path: string, at: number): Change[] {
  try {
    return decodeChanges(batch.changes);
  } catch (error) {
    throw corrupt(path, at, `it can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function applyChanges(changes: readonly Change[], { index, numbers, jobs }: Found): void {
  const workerOf = (stored: number) => index.workers.get(numbers.liveOf(stored) ?? -1);
  const raises: FloorRaise[] = [];
  for (const change of changes) {
    if (change.kind === "forgetJob") {
      const entry = jobs.get(change.job);
      if (entry !== undefined) index.removal.forgetJobs([entry]);
    } else if (change.kind === "raise" || change.kind === "raiseJob") {
      const entry = change.kind === "raise" ? workerOf(change.worker) : jobs.get(change.job);
      if (entry !== undefined) raises.push({ ...change.floor, entry });
    }
  }
  index.removal.raise(raises);
  for (const change of changes) {
    if (change.kind === "state") index.putState(new Map([[change.key, change.value]]));
    const entry = change.kind === "forget" ? workerOf(change.worker) : undefined;
    if (entry === undefined) continue;
    index.removal.forgetWorker(entry);
    numbers.release(entry.number);
  }
}

/** The events in the scope of a worker or a job are its newest, without holes: a segment that is missing shows here. */
function checkComplete(directory: string, { workers, jobs }: LogIndex): void {
  for (const { isJob, lastOrdinal, floor, retainedEvents } of [...workers.existing(), ...jobs.existing()]) {
    const missing = lastOrdinal - floor.scopeOrdinal - retainedEvents;
    if (missing !== 0) {
      throw openFailed(
        "corrupt",
        `The segments in ${directory} do not hold all that they should: ${missing} events of one ${isJob ? "job" : "worker"} are missing. Restore the directory from a backup, or move it away to start with an empty log.`,
      );
    }
  }
}
