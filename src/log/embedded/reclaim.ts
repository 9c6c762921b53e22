import { join } from "node:path";
import { encodeCheckpoint } from "./checkpoint.ts";
import { mergeSegments } from "./compact.ts";
import { replaceFile } from "./identity.ts";
import type { OpenedFiles } from "./opened-files.ts";
import { type Segment, segmentName } from "./segment.ts";

/** A segment is rewritten when less than one byte in this many is still retained. */
const sparseFactor = 4;
/** A checkpoint is written when the segments since the last one have this many times its bytes. */
const checkpointFactor = 4;

/**
 * Gives space back, in the background, while appends go on: writes a checkpoint so that old segments say nothing that is
 * needed but their events, removes those without retained events, and packs the survivors of sparse ones.
 *
 * Failing does no harm: the files stay as they are, and the next segment that is full tries again.
 */
export class Reclaim {
  readonly #files: OpenedFiles;
  readonly #sync: () => Promise<void>;
  #running: Promise<void> | undefined;
  #requested = false;
  /** A checkpoint that is to be written, with the segment that it covers. */
  #checkpoint: { bytes: Uint8Array; through: number } | undefined;
  #sealedBytes = 0;

  /** @param sync makes what was written so far durable; what follows from a failure of that is its own matter. */
  constructor(files: OpenedFiles, sync: () => Promise<void>) {
    this.#files = files;
    this.#sync = sync;
  }

  /** A segment is full, and what it says is committed; the next one has nothing yet. */
  sealed(number: number): void {
    const files = this.#files;
    this.#sealedBytes += files.segments.get(number)?.size ?? 0;
    if (this.#sealedBytes < files.checkpointBytes * checkpointFactor) return;
    this.#sealedBytes = 0;
    this.#checkpoint = { bytes: encodeCheckpoint(files.index, files.numbers, number), through: number };
    this.#requested = true;
  }

  /** Asks for a round once the group that is being written is committed. */
  request(): void {
    this.#requested = true;
  }

  startIfRequested(): void {
    if (this.#requested) this.start();
  }

  /** Begins a round, unless one is under way. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#requested = false;
    this.#running = this.#run()
      .catch(() => undefined)
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** Settles when nothing is under way. */
  async settle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const files = this.#files;
    const checkpoint = this.#checkpoint;
    this.#checkpoint = undefined;
    if (checkpoint !== undefined) {
      await replaceFile(files.fileSystem, files.segmentsDirectory, "checkpoint", checkpoint.bytes);
      await files.reservation.note(files.index.head.sequence);
      files.checkpointThrough = checkpoint.through;
      files.checkpointBytes = checkpoint.bytes.length;
    }
    const old = [...files.segments.values()]
      .filter((segment) => segment !== files.current && segment.through <= files.checkpointThrough)
      .sort((a, b) => a.number - b.number);
    const dead = old.filter((segment) => files.index.uses.of(segment.number).liveEvents === 0);
    const runs = runsToMerge(files, old);
    if (dead.length === 0 && runs.length === 0) return;
    // The floors that say why these events are gone must not be lost after them.
    if (files.durability === "process") await this.#sync();
    for (const segment of dead) await this.#remove(segment);
    for (const run of runs) await mergeSegments(files, run);
  }

  async #remove(segment: Segment): Promise<void> {
    const { fileSystem, segmentsDirectory, segments, index } = this.#files;
    await fileSystem.remove(join(segmentsDirectory, segmentName(segment.number)));
    segments.delete(segment.number);
    index.uses.forget(segment.number);
    segment.drop();
  }
}

/** Neighbours that hold little, to be made one segment each; one that is sparse is rewritten also alone. */
function runsToMerge(files: OpenedFiles, old: readonly Segment[]): Segment[][] {
  const runs: Segment[][] = [];
  let run: Segment[] = [];
  let runBytes = 0;
  const finish = () => {
    if (run.length > 1 || run.some((segment) => isSparse(files, segment))) runs.push(run);
    run = [];
    runBytes = 0;
  };
  for (const segment of old) {
    const { liveEvents, liveBytes } = files.index.uses.of(segment.number);
    if (liveEvents === 0) continue;
    const isSmall = isSparse(files, segment) || segment.size * sparseFactor < files.segmentBytes;
    if (!isSmall || runBytes + liveBytes > files.segmentBytes / 2) finish();
    if (!isSmall) continue;
    run.push(segment);
    runBytes += liveBytes;
  }
  finish();
  return runs;
}

function isSparse(files: OpenedFiles, segment: Segment): boolean {
  return files.index.uses.of(segment.number).liveBytes * sparseFactor < segment.size;
}
