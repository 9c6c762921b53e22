import type { Clock, StopTimer } from "../../base/clock.ts";
import type { ReportError } from "../../base/incident.ts";
import { limits } from "../../base/limits.ts";
import { type EventLog, holdKey, isConflict, type StatePut } from "../../log/contract.ts";
import { cutKey, transcriptKey } from "./kept.ts";

/** Bytes of transcripts in one append. */
const maxAppendBytes = 4 * 1024 * 1024;

/** Milliseconds between two times that everything is kept before it is due: retention waits, or memory is short. */
const minForcedMs = 1_000;

/** What changed of a transcript since the log kept it. */
interface Unkept {
  /** Sequence of the first event that is not in what the log keeps. */
  readonly first: number;
  /** When to keep it at the latest, in monotonic milliseconds. */
  readonly dueMs: number;
  events: number;
  bytes: number;
}

export interface KeeperOptions {
  readonly log: EventLog;
  readonly clock: Clock;
  readonly report: ReportError;
  /**
   * The transcript of a worker as the log is to keep it now; undefined: not now. `isCut`: it may lack entries that it
   * has at other servers, or here.
   */
  readonly encode: (workerId: string) => { readonly bytes: Uint8Array; readonly isCut: boolean } | undefined;
}

/**
 * Has the log keep transcripts that changed, and holds retention back until it does: whatever crashes, the events that are
 * not in a kept transcript are still there to be folded. Once there is a transcript, retention is also held where the log
 * was when all were kept, and let go of now and then: what a batch brings may be more than the limits allow to stay, and
 * would go with the commit of the batch, before anyone could fold it.
 *
 * Of the servers that share a log, the one that `isKeeper` does. The others note the same, and hear of what it keeps, so that
 * each of them can go on where it stops.
 */
export class Keeper {
  readonly #options: KeeperOptions;
  /** In the order of their first change, save after a failure. */
  readonly #unkept = new Map<string, Unkept>();
  /** What is being kept. */
  readonly #keeping = new Map<string, Unkept>();
  /** Not a number: nothing was said yet. */
  #hold = Number.NaN;
  /** Sequence that the log has come to. */
  #head: number;
  #hasTranscripts: boolean;
  /** Nothing is let go of after this sequence, whatever is kept. */
  #base = Number.POSITIVE_INFINITY;
  /** When everything was last kept before it was due. */
  #forcedMs = Number.NEGATIVE_INFINITY;
  #stopTimer: StopTimer | undefined;
  #stopSoon: StopTimer | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: KeeperOptions, hasTranscripts: boolean) {
    this.#options = options;
    this.#hasTranscripts = hasTranscripts;
    this.#head = options.log.bounds({ kind: "runtime" }).head.sequence;
  }

  /** Transcripts that the log does not keep as they are. */
  get unkept(): number {
    return this.#unkept.size + this.#keeping.size;
  }

  /** Whether the log keeps a transcript as it is. */
  keeps(workerId: string): boolean {
    return !this.#unkept.has(workerId) && !this.#keeping.has(workerId);
  }

  /** Holds retention after a sequence whatever is kept, or, with `Infinity`, no longer. */
  holdAfter(sequence: number): void {
    this.#base = sequence;
    this.#moveHold();
  }

  /**
   * The log keeps a transcript up to an event, whoever had it do so. `folded`: the last event that is in the transcript here;
   * 0: it is not in memory, and so as it is kept; `Infinity`: some events may not be in it yet.
   */
  kept(workerId: string, sequence: number, folded: number): void {
    this.#hasTranscripts = true;
    this.#keeping.delete(workerId);
    const first = Math.max(sequence + 1, this.#unkept.get(workerId)?.first ?? 0);
    // What changed since is due as late as if that were the first change.
    this.#unkept.delete(workerId);
    if (folded > sequence) {
      const dueMs = this.#options.clock.monotonic() + limits.transcriptKeepMs;
      this.#unkept.set(workerId, { first, dueMs, events: 0, bytes: 0 });
      if (first - 1 < this.#hold) this.#setHold(first - 1);
    }
    this.#arm();
  }

  /** An event changed a transcript, which has so many bytes now. */
  changed(workerId: string, sequence: number, eventBytes: number, transcriptBytes: number): void {
    let unkept = this.#unkept.get(workerId);
    // What is large is kept less often, so that a slow writer does not cost many times what it writes.
    const scale = Math.max(1, transcriptBytes / limits.transcriptKeepBytes);
    if (unkept === undefined) {
      const dueMs = this.#options.clock.monotonic() + limits.transcriptKeepMs * scale;
      unkept = { first: sequence, dueMs, events: 0, bytes: 0 };
      this.#unkept.set(workerId, unkept);
      if (sequence - 1 < this.#hold) this.#setHold(sequence - 1);
      this.#arm();
    }
    unkept.events++;
    unkept.bytes += eventBytes;
    const isFirst = !this.#hasTranscripts;
    this.#hasTranscripts = true;
    const due =
      // From then on there is a hold that outlives the process.
      isFirst ||
      unkept.events >= limits.transcriptKeepEvents * scale ||
      unkept.bytes >= limits.transcriptKeepBytes * scale;
    if (due && !this.#keeping.has(workerId)) void this.#keep([workerId]);
  }

  /** The log has come this far. */
  advanced(sequence: number): void {
    this.#head = sequence;
    if (sequence <= this.#hold) return;
    this.#arm();
    if (sequence - this.#hold < limits.transcriptHoldEvents) return;
    if (this.unkept === 0) {
      this.#moveHold();
      return;
    }
    this.keepSoon();
  }

  /** Has everything kept before it is due, but not all the time. */
  keepSoon(): void {
    if (this.#stopSoon !== undefined || this.#closed || !this.#options.log.isKeeper) return;
    const { clock } = this.#options;
    const waitMs = this.#forcedMs + minForcedMs - clock.monotonic();
    if (waitMs <= 0 && this.#keeping.size === 0) {
      this.#forcedMs = clock.monotonic();
      void this.keepAll();
      return;
    }
    this.#stopSoon = clock.after(Math.max(1, waitMs), () => {
      this.#stopSoon = undefined;
      this.#forcedMs = clock.monotonic();
      void this.keepAll();
    });
  }

  /** Settles when the log keeps every transcript as it is now, or it was tried. */
  keepAll(): Promise<void> {
    if (this.#unkept.size > 0) void this.#keep([...this.#unkept.keys()]);
    return this.#running;
  }

  #keepDue(): void {
    // A timer may fire a little before its time, and one round for many is better than many rounds.
    const dueMs = this.#options.clock.monotonic() + limits.transcriptKeepMs / 2;
    const workerIds: string[] = [];
    for (const [workerId, unkept] of this.#unkept) if (unkept.dueMs <= dueMs) workerIds.push(workerId);
    if (workerIds.length > 0) void this.#keep(workerIds);
    // Whoever keeps them may stop at any time.
    if (this.#unkept.size > workerIds.length || !this.#options.log.isKeeper) this.#arm();
  }

  forget(workerId: string): void {
    this.#unkept.delete(workerId);
    this.#keeping.delete(workerId);
    this.#moveHold();
  }

  /** Keeps everything a last time. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTimer?.();
    this.#stopSoon?.();
    // What changed while something of it was being kept takes a second round.
    for (let round = 0; round < 2; round++) await this.keepAll();
    const isWhole = this.unkept === 0 && this.#base === Number.POSITIVE_INFINITY;
    if (!isWhole || !this.#hasTranscripts || !this.#options.log.isKeeper) return;
    // All that is there may go, and what comes after the next start is held. That it could not be said only delays retention.
    const { log } = this.#options;
    const hold = log.bounds({ kind: "runtime" }).head.sequence;
    await log.append({ events: [], state: new Map([[holdKey, encodeHold(hold)]]) }).catch(() => undefined);
  }

  #keep(workerIds: readonly string[]): Promise<void> {
    if (!this.#options.log.isKeeper) return this.#running;
    const kept = this.#append(workerIds);
    this.#running = Promise.all([this.#running, kept]).then(() => undefined);
    return kept;
  }

  async #append(workerIds: readonly string[]): Promise<void> {
    const { log, encode, report } = this.#options;
    // One batch after the other, so that many large transcripts do not hold up everything else.
    for (let next = 0; next < workerIds.length; ) {
      const batch = new Set<string>();
      const state = new Map<string, StatePut>();
      for (let bytes = 0; next < workerIds.length && bytes < maxAppendBytes; next++) {
        const workerId = workerIds[next] as string;
        const unkept = this.#unkept.get(workerId);
        if (unkept === undefined || this.#keeping.has(workerId)) continue;
        const encoded = encode(workerId);
        if (encoded === undefined) continue;
        bytes += encoded.bytes.length;
        batch.add(workerId);
        state.set(transcriptKey(workerId), encoded.bytes);
        if (encoded.isCut) state.set(cutKey(workerId), null);
        this.#keeping.set(workerId, unkept);
        this.#unkept.delete(workerId);
      }
      if (batch.size === 0) continue;
      // What a crash leaves behind is trimmed when the log is opened, before anyone could say what to hold.
      state.set(holdKey, encodeHold(this.#holdBeside(batch)));
      const failure = await log.append({ events: [], state }).then(
        () => undefined,
        (reason: unknown) => ({ reason }),
      );
      // What was kept was heard of by now; what was forgotten meanwhile is in neither.
      for (const workerId of batch) if (this.#keeping.has(workerId)) this.#takeBack(workerId);
      this.#moveHold();
      // Another server keeps them: what it kept is heard of, and the rest is tried again when it is due.
      if (failure !== undefined && !this.#closed && !isConflict(failure.reason)) report(failure.reason);
    }
    if (this.#unkept.size > 0) this.#arm();
  }

  #takeBack(workerId: string): void {
    const before = this.#keeping.get(workerId) as Unkept;
    const since = this.#unkept.get(workerId);
    this.#unkept.set(workerId, { ...before, events: before.events + (since?.events ?? 0) });
    this.#keeping.delete(workerId);
  }

  #arm(): void {
    if (this.#closed) return;
    this.#stopTimer ??= this.#options.clock.after(limits.transcriptKeepMs, () => {
      this.#stopTimer = undefined;
      if (this.unkept === 0) this.#moveHold();
      else this.#keepDue();
    });
  }

  #moveHold(): void {
    this.#setHold(this.#hasTranscripts ? this.#holdBeside(new Set()) : this.#base);
  }

  /** The sequence after which to hold, once these transcripts are kept. */
  #holdBeside(kept: ReadonlySet<string>): number {
    let first = this.#head + 1;
    for (const unkept of this.#unkept.values()) first = Math.min(first, unkept.first);
    for (const [workerId, keeping] of this.#keeping) if (!kept.has(workerId)) first = Math.min(first, keeping.first);
    return Math.min(this.#base, first - 1);
  }

  #setHold(sequence: number): void {
    if (sequence === this.#hold) return;
    this.#hold = sequence;
    this.#options.log.holdAfter(sequence);
  }
}

function encodeHold(sequence: number): Uint8Array {
  return new TextEncoder().encode(String(sequence));
}
