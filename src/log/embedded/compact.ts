import { join } from "node:path";
import { unsetBytes } from "../binary.ts";
import type { Chunk } from "../index/chunk.ts";
import { type EventArrays, newEventArrays, setJob } from "../index/staged.ts";
import { bytesBeforeEvents, compacted, encodeBatch } from "./batch.ts";
import type { OpenedFiles } from "./opened-files.ts";
import { encodeSegmentHeader, Segment, segmentHeaderBytes, segmentName } from "./segment.ts";

/** Stored bytes of one compacted batch, about. */
const batchBytes = 1024 * 1024;

/** A retained event of the segments that are merged, and where it will lie. */
interface Survivor {
  readonly sequence: number;
  readonly segment: number;
  readonly offset: number;
  readonly size: number;
  newOffset: number;
}

/**
 * Writes the retained events of neighbouring segments, under their old sequences, into one that takes the place of the
 * first. It replaces that one in one step, so at any time the files hold every retained event, some of them twice.
 */
export async function mergeSegments(files: OpenedFiles, run: readonly Segment[]): Promise<void> {
  const first = run[0] as Segment;
  const last = run[run.length - 1] as Segment;
  const { fileSystem, segmentsDirectory, index } = files;
  const path = join(segmentsDirectory, segmentName(first.number));
  const temporary = `${path}.tmp`;
  const batches = batchesOf(files, new Set(run.map((segment) => segment.number)));
  const file = await fileSystem.open(temporary, true);
  let size = segmentHeaderBytes;
  try {
    await file.write(encodeSegmentHeader(first.number, last.through), 0);
    for (const { rows, jobKeys, survivors } of batches) {
      const stored = await readSurvivors(files, survivors);
      const before = bytesBeforeEvents(rows, compacted);
      let at = size + before;
      for (const survivor of survivors) {
        survivor.newOffset = at;
        at += survivor.size;
      }
      const bytes = encodeBatch(
        compacted,
        rows,
        stored.length,
        rows.sequences[0] as number,
        rows.ordinals[0] as number,
        rows.times[0] as number,
        new Uint8Array(0),
        (worker) => worker,
        (job) => jobKeys.get(job) as number,
        (target, offset) => target.set(stored, offset),
      );
      await file.write(bytes, size);
      size += bytes.length;
    }
    await file.datasync();
    await fileSystem.rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => undefined);
    await fileSystem.remove(temporary).catch(() => undefined);
    throw error;
  }
  const merged = new Segment(first.number, last.through, file, size);
  for (const segment of run) files.segments.delete(segment.number);
  files.segments.set(merged.number, merged);
  for (const { survivors } of batches) for (const survivor of survivors) relocate(files, survivor, merged.number);
  for (const segment of run) {
    if (segment.number !== merged.number) index.uses.forget(segment.number);
    segment.drop();
  }
  await fileSystem.syncDirectory(segmentsDirectory);
  for (const segment of run.slice(1)) {
    // Left behind, it is removed when the log is next opened: the merged segment names what it covers.
    await fileSystem.remove(join(segmentsDirectory, segmentName(segment.number)));
  }
}

/** Survivors in log order. What the files know their workers and jobs by is looked up at once: they may go meanwhile. */
interface Batch {
  /** Workers by the numbers of the files, jobs by those of the process. */
  readonly rows: EventArrays;
  /** Sequences of the first events of those jobs. */
  readonly jobKeys: ReadonlyMap<number, number>;
  readonly survivors: Survivor[];
}

/** What survives, cut into batches. */
function batchesOf(files: OpenedFiles, numbers: ReadonlySet<number>): Batch[] {
  const batches: Batch[] = [];
  let places: { chunk: Chunk; row: number }[] = [];
  let bytes = 0;
  const finish = () => {
    if (places.length > 0) batches.push(batchOf(files, places));
    places = [];
    bytes = 0;
  };
  for (const chunk of files.index.columns.chunks) {
    for (let row = 0; row < chunk.length; row++) {
      if (!numbers.has(chunk.segments[row] as number) || !files.index.holders.isLive(chunk, row)) continue;
      places.push({ chunk, row });
      bytes += chunk.sizes[row] as number;
      if (bytes >= batchBytes) finish();
    }
  }
  finish();
  return batches;
}

function batchOf(files: OpenedFiles, places: readonly { chunk: Chunk; row: number }[]): Batch {
  const jobKeys = new Map<number, number>();
  const rows = newEventArrays(places.length);
  const survivors: Survivor[] = [];
  for (const [i, { chunk, row }] of places.entries()) {
    const sequence = chunk.sequences[row] as number;
    const size = chunk.sizes[row] as number;
    rows.sequences[i] = sequence;
    rows.ordinals[i] = chunk.ordinals[row] as number;
    rows.workers[i] = files.numbers.storedOf(chunk.workers[row] as number);
    rows.workerOrdinals[i] = chunk.workerOrdinals[row] as number;
    rows.kinds[i] = chunk.kinds[row] as number;
    rows.times[i] = chunk.times[row] as number;
    rows.sizes[i] = size;
    const job = files.index.holders.jobOf(chunk, row);
    if (job !== undefined) {
      setJob(rows, i, job.number, chunk.jobOrdinals?.[row] as number);
      jobKeys.set(job.number, job.firstSequence);
    }
    const segment = chunk.segments[row] as number;
    survivors.push({ sequence, segment, offset: chunk.offsets[row] as number, size, newOffset: 0 });
  }
  return { rows, jobKeys, survivors };
}

async function readSurvivors(files: OpenedFiles, survivors: readonly Survivor[]): Promise<Uint8Array> {
  const target = unsetBytes(survivors.reduce((sum, survivor) => sum + survivor.size, 0));
  let at = 0;
  for (let i = 0; i < survivors.length; ) {
    const { segment, offset } = survivors[i] as Survivor;
    let end = offset;
    // What lies together is read together.
    for (; survivors[i]?.segment === segment && survivors[i]?.offset === end; i++) end += survivors[i]?.size as number;
    await (files.segments.get(segment) as Segment).read(target.subarray(at, at + end - offset), offset);
    at += end - offset;
  }
  return target;
}

/** Points the index to the new place of an event, unless it was removed meanwhile. */
function relocate(files: OpenedFiles, survivor: Survivor, segment: number): void {
  const { columns, uses } = files.index;
  const chunk = columns.chunks[columns.chunkAfter(survivor.sequence - 1)];
  const row = chunk?.rowAfter(survivor.sequence - 1) ?? 0;
  if (chunk === undefined || chunk.sequences[row] !== survivor.sequence || !files.index.holders.isLive(chunk, row))
    return;
  uses.count(survivor.segment, -1, -survivor.size);
  uses.count(segment, 1, survivor.size);
  chunk.segments[row] = segment;
  chunk.offsets[row] = survivor.newOffset;
}
