import { fromBinary } from "@bufbuild/protobuf";
import { EventSchema } from "../../../gen/tailrace/v1/event_pb.ts";
import type { Clock } from "../../base/clock.ts";
import type { ReportError } from "../../base/incident.ts";
import { limits } from "../../base/limits.ts";
import { type FoldedEvent, totalSize, withoutOldest } from "../../events/transcript/draft.ts";
import { sizeOf } from "../../events/transcript/entries.ts";
import { foldTranscript, transcriptKinds, workerOnlyKinds } from "../../events/transcript/fold.ts";
import {
  defaultTranscriptLimits,
  emptyTranscript,
  type TranscriptLimits,
  type TranscriptState,
} from "../../events/transcript/state.ts";
import type { EventBlock } from "../../log/block.ts";
import type { EventLog } from "../../log/contract.ts";
import { CatchUp } from "./catch-up.ts";
import { Keeper } from "./keeper.ts";
import { cutPrefix, encodeTranscript, keptSizes, keptTranscript, sequenceOfKept, transcriptPrefix } from "./kept.ts";
import { Residents } from "./residents.ts";

/** What bounds the transcripts of a runtime. */
export interface TranscriptOptions extends TranscriptLimits {
  /** Bytes of all transcripts in memory, and as they are kept in the log. */
  readonly memoryBytes: number;
  readonly keptBytes: number;
}

export const defaultTranscriptOptions: TranscriptOptions = {
  ...defaultTranscriptLimits,
  memoryBytes: limits.transcriptMemoryBytes,
  keptBytes: limits.transcriptCheckpointBytes,
};

/** Transcripts that are looked at to find some to let go of. */
const maxLooked = 256;

/** By kind: 0 means nothing for a transcript, 1 only for one that there is, 2 makes one. */
const meaning = new Uint8Array(256);
for (const kind of transcriptKinds) meaning[kind] = workerOnlyKinds.has(kind) ? 1 : 2;

/**
 * The transcripts of all workers: a fold of committed events. They survive in the log's state, from where those that are
 * not used are read again; what came after is folded when the runtime starts. All that changes them is committed, so that
 * they are the same at every server that shares the log.
 */
export class Transcripts {
  readonly #log: EventLog;
  readonly #report: ReportError;
  readonly #options: TranscriptOptions;
  readonly #residents = new Residents();
  readonly #keeper: Keeper;
  /** Bytes of what the log keeps, by worker, in the order in which it was kept. */
  readonly #kept: Map<string, number>;
  #keptBytes = 0;
  /** By how much those will be smaller that were made so and are not kept yet. */
  readonly #shrinking = new Map<string, number>();
  /** Those that may lack what other servers have folded: what is kept next is what all have. */
  readonly #unsure = new Set<string>();
  readonly #catchUp: CatchUp;

  constructor(log: EventLog, clock: Clock, report: ReportError, options: Partial<TranscriptOptions> = {}) {
    this.#log = log;
    this.#report = report;
    this.#options = { ...defaultTranscriptOptions, ...options };
    this.#kept = keptSizes(log);
    for (const bytes of this.#kept.values()) this.#keptBytes += bytes;
    this.#keeper = new Keeper(
      {
        log,
        clock,
        report,
        encode: (workerId) => this.#encode(workerId),
      },
      this.#kept.size > 0,
    );
    this.#catchUp = new CatchUp({
      log,
      clock,
      report,
      foldedTo: (workerId) => this.of(workerId).sequence,
      fold: (workerId, block, index) => this.#fold(workerId, block, index),
      onMissed: (workerId) => this.#unsure.add(workerId),
      onDone: () => {
        this.#keeper.holdAfter(Number.POSITIVE_INFINITY);
        this.#makeRoom();
      },
    });
    // As long as the log has listeners.
    log.subscribeState(transcriptPrefix, (key, bytes) => {
      const workerId = key.slice(transcriptPrefix.length);
      if (bytes === undefined) this.#forget(workerId);
      else this.#onKept(workerId, bytes);
    });
    log.subscribeState(cutPrefix, (key) => this.#onCut(key.slice(cutPrefix.length)));
    // Until it is known what the log does not keep, nothing goes.
    this.#keeper.holdAfter(this.#catchUp.done ? Number.POSITIVE_INFINITY : 0);
  }

  /** Transcripts in memory, and about as many bytes as they take there. */
  get residents(): { readonly count: number; readonly bytes: number } {
    return { count: this.#residents.size, bytes: this.#residents.bytes };
  }

  /** Bytes of the transcripts that the log keeps. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Folds a committed block. */
  commit(block: EventBlock): void {
    for (let i = 0; i < block.length; i++) {
      const kind = block.kinds[i] as number;
      if (kind > 255 || meaning[kind] === 0) continue;
      const worker = block.workers[i] as number;
      if (worker === 0) continue;
      const workerId = block.subjects.idOf(worker);
      if (!this.#catchUp.misses(workerId, block.sequences[i] as number)) this.#fold(workerId, block, i);
    }
    this.#keeper.advanced(block.sequences[block.length - 1] as number);
  }

  /**
   * Settles when the transcript of a worker includes all that is committed.
   * @throws TailraceError `log_unavailable`.
   */
  async ready(workerId: string): Promise<void> {
    await this.#catchUp.of(workerId);
  }

  /** The transcript of a worker; of one that said nothing, an empty one. */
  of(workerId: string): TranscriptState {
    const resident = this.#residents.get(workerId);
    if (resident !== undefined) return resident;
    const kept = this.#read(workerId);
    if (kept === undefined) return emptyTranscript(this.#options);
    this.#residents.set(workerId, kept);
    this.#makeRoom(workerId);
    return kept;
  }

  /** Settles when the log keeps all transcripts as they are. */
  keepAll(): Promise<void> {
    return this.#keeper.keepAll();
  }

  #forget(workerId: string): void {
    this.#residents.delete(workerId);
    this.#catchUp.forget(workerId);
    this.#keeper.forget(workerId);
    this.#keptBytes -= this.#kept.get(workerId) ?? 0;
    this.#kept.delete(workerId);
    this.#shrinking.delete(workerId);
    this.#unsure.delete(workerId);
  }

  /** Keeps everything a last time. */
  async close(): Promise<void> {
    this.#catchUp.stop();
    await this.#keeper.close();
  }

  #fold(workerId: string, block: EventBlock, index: number): void {
    const isKnown = this.#residents.get(workerId) !== undefined || this.#kept.has(workerId);
    if (!isKnown && meaning[block.kinds[index] as number] === 1) return;
    const start = block.starts[index] as number;
    const end = block.ends[index] as number;
    const before = this.of(workerId);
    // It may have been kept while the event was read.
    if ((block.sequences[index] as number) <= before.sequence) return;
    let after: TranscriptState;
    try {
      after = foldTranscript(before, decode(block, index));
    } catch (error) {
      this.#report(error);
      return;
    }
    if (after === before) return;
    this.#residents.set(workerId, after);
    this.#keeper.changed(workerId, after.sequence, end - start, after.bytes);
    this.#makeRoom(workerId);
  }

  #read(workerId: string): TranscriptState | undefined {
    if (!this.#kept.has(workerId)) return undefined;
    try {
      return keptTranscript(this.#log, workerId, this.#options);
    } catch (error) {
      this.#report(error);
      return undefined;
    }
  }

  #encode(workerId: string): { readonly bytes: Uint8Array; readonly isCut: boolean } | undefined {
    if (this.#catchUp.isBehind(workerId)) return undefined;
    const state = this.of(workerId);
    const shrinks = this.#shrinking.has(workerId);
    const isCut = shrinks || this.#unsure.has(workerId);
    return { bytes: encodeTranscript(shrinks ? halve(state) : state), isCut };
  }

  #onKept(workerId: string, bytes: Uint8Array): void {
    this.#keptBytes += bytes.length - (this.#kept.get(workerId) ?? 0);
    this.#kept.delete(workerId);
    this.#kept.set(workerId, bytes.length);
    this.#shrinking.delete(workerId);
    const sequence = sequenceOfKept(bytes);
    const folded = this.#residents.peek(workerId)?.sequence ?? 0;
    // One that is behind goes on from there, and nobody knows yet what comes after.
    if (folded < sequence) this.#residents.delete(workerId);
    const isBehind = this.#catchUp.isBehind(workerId);
    this.#keeper.kept(workerId, sequence, isBehind ? Number.POSITIVE_INFINITY : folded);
    if (this.#unsure.delete(workerId)) this.#onCut(workerId);
    this.#shrink();
    this.#makeRoom();
  }

  /** What was just kept of a transcript may be another than the one here: what came since is folded into that. */
  #onCut(workerId: string): void {
    const resident = this.#residents.peek(workerId);
    if (resident === undefined) return;
    this.#residents.delete(workerId);
    if (!this.#keeper.keeps(workerId)) this.#catchUp.again(workerId);
  }

  /** Lets transcripts go that the log keeps, those used longest ago first. `inUse`: not this one. */
  #makeRoom(inUse = ""): void {
    let looked = 0;
    for (const workerId of this.#residents.ids()) {
      // Whoever comes next looks further; this one has an event to fold.
      if (this.#residents.bytes <= this.#options.memoryBytes || ++looked > maxLooked) break;
      if (workerId !== inUse && this.#keeper.keeps(workerId)) this.#residents.delete(workerId);
    }
    if (this.#residents.bytes > this.#options.memoryBytes && this.#keeper.unkept > 0) this.#keeper.keepSoon();
  }

  /** Takes from the transcripts that changed longest ago until the log keeps no more than it should. */
  #shrink(): void {
    let over = this.#keptBytes - this.#options.keptBytes;
    if (over <= 0 || !this.#log.isKeeper) return;
    for (const bytes of this.#shrinking.values()) over -= bytes;
    for (const [workerId, bytes] of this.#kept) {
      if (over <= 0) break;
      // One that is about to be kept is counted then.
      if (!this.#keeper.keeps(workerId)) continue;
      const before = this.of(workerId);
      const after = halve(before);
      if (after === before) continue;
      this.#keeper.changed(workerId, after.sequence, 0, after.bytes);
      const saved = before.bytes === 0 ? bytes : bytes * (1 - after.bytes / before.bytes);
      this.#shrinking.set(workerId, saved);
      over -= saved;
    }
    if (this.#shrinking.size > 0) void this.#keeper.keepAll();
  }
}

/** Without its older half, by size; without everything, if there is but one entry. */
function halve(state: TranscriptState): TranscriptState {
  if (state.entries.length <= 1) {
    if (state.entries.length + state.commands.length === 0) return state;
    return { ...withoutOldest(state, state.entries.length, 0), commands: [] };
  }
  let bytes = totalSize(state.entries);
  const wanted = bytes / 2;
  let count = 0;
  for (const entry of state.entries) {
    if (count > 0 && bytes <= wanted) break;
    bytes -= sizeOf(entry);
    count++;
  }
  return withoutOldest(state, count, bytes);
}

function decode(block: EventBlock, index: number): FoldedEvent {
  const event = fromBinary(
    EventSchema,
    // A copy: protobuf-es lets `bytes` fields be views of what it reads.
    block.bytes.slice(block.starts[index] as number, block.ends[index] as number),
  );
  event.sequence = BigInt(block.sequences[index] as number);
  return event;
}
