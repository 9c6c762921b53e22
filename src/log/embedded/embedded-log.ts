import type { Clock } from "../../base/clock.ts";
import { TailraceError } from "../../base/errors.ts";
import { unsetBytes } from "../binary.ts";
import { type EventBlock, jobsOf } from "../block.ts";
import { boundsOfStoredBytes, type PreparedGroup, writeStoredBytes } from "../commit/stage.ts";
import type { LogHealth, LogIdentity } from "../contract.ts";
import { type Extent, type Layout, pick } from "../index/extents.ts";
import type { EventArrays, Placement } from "../index/staged.ts";
import { IndexedLog } from "../indexed-log.ts";
import type { FetchedBytes } from "../readable-log.ts";
import { asCommitted, bytesBeforeEvents, encodeBatch } from "./batch.ts";
import { encodeChanges } from "./changes.ts";
import { isFull } from "./file-system.ts";
import type { OpenedFiles } from "./opened-files.ts";
import { Reclaim } from "./reclaim.ts";
import { createSegment, type Segment, segmentHeaderBytes } from "./segment.ts";

/** Reads of one page that are under way at once: as many as Node has threads for files. */
const maxParallelReads = 4;

/** A log in a directory of its own. Made by `openEmbeddedLog`. */
export class EmbeddedLog extends IndexedLog {
  readonly identity: LogIdentity;
  readonly #files: OpenedFiles;
  readonly #reclaim: Reclaim;
  /** Since when there is no room, in milliseconds since the epoch. */
  #fullSinceMs: number | undefined;

  constructor(files: OpenedFiles, identity: LogIdentity, clock: Clock) {
    super(files.index, clock);
    this.#files = files;
    this.identity = identity;
    this.#reclaim = new Reclaim(files, () => this.#datasync(files.current));
  }

  /** Makes limits hold that changed since the log was last open, and gives back what that frees. */
  async start(): Promise<void> {
    await this.trimAll();
    if (this.failed || this.#fullSinceMs !== undefined) return;
    this.#reclaim.start();
  }

  override health(): LogHealth {
    const health = super.health();
    if (!health.available || this.#fullSinceMs === undefined) return health;
    return { available: false, sinceMs: this.#fullSinceMs, error: full() };
  }

  protected nextSequence(): number {
    return Math.max(this.#files.firstSequence, this.index.head.sequence + 1);
  }

  protected place(events: EventArrays, storedBytes: number): Placement {
    const before = bytesBeforeEvents(events, asCommitted);
    const segment = this.#files.current;
    const isEmpty = segment.size === segmentHeaderBytes;
    if (isEmpty || segment.size + before + storedBytes <= this.#files.segmentBytes) {
      return { segment: segment.number, offset: segment.size + before };
    }
    return { segment: segment.number + 1, offset: segmentHeaderBytes + before };
  }

  protected async write(group: PreparedGroup): Promise<EventBlock | undefined> {
    const { events, raises, forgottenWorkers, forgottenJobs, state } = group;
    const changes = raises.length + forgottenWorkers.length + forgottenJobs.length + state.size;
    if (events.length === 0 && changes === 0) return undefined;
    try {
      await this.#reserve(group);
      if (group.placement.segment !== this.#files.current.number) await this.#roll(group.placement.segment);
    } catch (error) {
      throw this.#asRefusal(error);
    }
    const { bytes, created } = this.#encode(group);
    const segment = this.#files.current;
    await this.#writeBatch(segment, bytes);
    segment.size += bytes.length;
    for (const { id, number, isJob } of group.created) {
      if (!isJob) this.#files.numbers.bind(number, created.get(id) as number);
    }
    for (const entry of forgottenWorkers) this.#files.numbers.release(entry.number);
    this.#fullSinceMs = undefined;
    if (events.length === 0) {
      // Age alone removed something: no new segment will come along to reclaim it.
      if (raises.length > 0) this.#reclaim.request();
      return undefined;
    }
    const bounds = boundsOfStoredBytes(group, bytesBeforeEvents(events, asCommitted));
    return {
      ...events,
      bytes,
      ...bounds,
      ...jobsOf(events),
      subjects: this.subjects,
      jobSubjects: this.jobSubjects,
    };
  }

  protected async fetch(layout: Layout, memory: Uint8Array | undefined): Promise<FetchedBytes> {
    const { totalBytes } = layout;
    const fits = memory !== undefined && totalBytes <= memory.length;
    const bytes = fits ? memory.subarray(0, totalBytes) : unsetBytes(totalBytes);
    // Looked up now: a segment that is reclaimed while the pass is under way stays open for it.
    const segments = layout.extents.map((extent) => this.#files.segments.get(extent.segment) as Segment);
    for (const segment of segments) segment.hold();
    let next = 0;
    const readOn = async () => {
      for (let i = next++; i < layout.extents.length; i = next++) {
        const extent = layout.extents[i] as Extent;
        const length = extent.to - extent.from;
        const piece = extent.isWhole ? bytes.subarray(extent.at, extent.at + length) : unsetBytes(length);
        await (segments[i] as Segment).read(piece, extent.from);
        if (!extent.isWhole) pick(layout, extent, piece, bytes);
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(maxParallelReads, layout.extents.length) }, readOn));
    } catch (error) {
      throw this.unavailable("The log can't be read right now.", error);
    } finally {
      for (const segment of segments) segment.letGo();
    }
    return { bytes, starts: layout.starts, ends: layout.ends };
  }

  protected reclaim(): void {
    this.#reclaim.startIfRequested();
  }

  protected async release(): Promise<void> {
    await this.#reclaim.settle();
    const { reservation, current, segments, lock } = this.#files;
    try {
      if (!this.failed) {
        await this.#datasync(current);
        // Without it the end counts as an unclean one, which costs sequences and nothing else.
        await reservation.finish(this.index.head.sequence).catch(() => undefined);
      }
    } finally {
      await reservation.settle();
      for (const segment of segments.values()) segment.drop();
      lock.release();
    }
  }

  async #reserve(group: PreparedGroup): Promise<void> {
    const { sequences, length } = group.events;
    if (length > 0) {
      await this.#files.reservation.require(sequences[length - 1] as number, this.index.head.sequence);
    }
  }

  /** Goes on in a new segment. The one that is full is safe on disk before, so that only the last one can be torn. */
  async #roll(number: number): Promise<void> {
    const files = this.#files;
    await this.#datasync(files.current);
    const segment = await createSegment(files.fileSystem, files.segmentsDirectory, number);
    const sealed = files.current;
    files.current = segment;
    files.segments.set(number, segment);
    this.#reclaim.sealed(sealed.number);
  }

  #encode(group: PreparedGroup): { bytes: Uint8Array; created: Map<string, number> } {
    const { numbers } = this.#files;
    const created = new Map<string, number>();
    const createdByNumber = new Map<number, number>();
    for (const entry of group.created) {
      if (entry.isJob) continue;
      const number = numbers.take();
      created.set(entry.id, number);
      createdByNumber.set(entry.number, number);
    }
    const numberOf =
      created.size === 0
        ? (worker: number) => numbers.storedOf(worker)
        : (worker: number) => createdByNumber.get(worker) ?? numbers.storedOf(worker);
    const bytes = encodeBatch(
      asCommitted,
      group.events,
      group.storedBytes,
      group.events.sequences[0] ?? 0,
      group.events.ordinals[0] ?? 0,
      group.timeMs,
      encodeChanges(group, created, numberOf),
      numberOf,
      (job) => this.index.jobs.get(job)?.firstSequence ?? 0,
      (target, offset) => writeStoredBytes(group, target, offset),
    );
    return { bytes, created };
  }

  async #writeBatch(segment: Segment, bytes: Uint8Array): Promise<void> {
    try {
      await segment.file.write(bytes, segment.size);
    } catch (error) {
      // Part of it may have been written, and the next batch must not follow on that.
      try {
        await segment.file.truncate(segment.size);
      } catch (cause) {
        throw this.fail("The log can't be written to. The operator has to look at its storage.", cause);
      }
      throw this.#asRefusal(error);
    }
    if (this.#files.durability === "fsync") await this.#datasync(segment);
  }

  async #datasync(segment: Segment): Promise<void> {
    try {
      await segment.file.datasync();
    } catch (error) {
      // After a failed sync the system may have dropped what it could not write, and says so only once.
      throw this.fail("The log's storage failed. The operator has to look at it and start again.", error);
    }
  }

  /** What a failed write means: no room, which passes, or the end of this log. */
  #asRefusal(error: unknown): TailraceError {
    if (error instanceof TailraceError) return error;
    if (!isFull(error))
      return this.fail("The log can't be written to. The operator has to look at its storage.", error);
    this.#fullSinceMs ??= this.clock.now();
    return full(error);
  }
}

function full(cause?: unknown): TailraceError<"limit_exceeded"> {
  return new TailraceError(
    "limit_exceeded",
    { limit: "storage", maximum: 0, retryAfterMs: 5_000 },
    "There is no room left in the log's storage. Nothing was written; publish again when there is.",
    cause === undefined ? {} : { cause },
  );
}
