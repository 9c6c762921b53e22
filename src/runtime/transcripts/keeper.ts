import type { Clock, StopTimer } from "../../base/clock.ts";
import type { ReportError } from "../../base/incident.ts";
import { limits } from "../../base/limits.ts";
import { type EventLog, holdKey } from "../../log/contract.ts";
import { transcriptKey } from "./kept.ts";

/** Bytes of transcripts in one append. */
const maxAppendBytes = 4 * 1024 * 1024;

/** What changed of a transcript since the log kept it. */
interface Unkept {
  /** Sequence of the first event that is not in what the log keeps. */
  readonly first: number;
  events: number;
  bytes: number;
}

export interface KeeperOptions {
  readonly log: EventLog;
  readonly clock: Clock;
  readonly report: ReportError;
  /** The transcript of a worker as the log is to keep it now. */
  readonly encode: (workerId: string) => Uint8Array;
  /** A transcript was kept, with so many bytes. */
  readonly onKept: (workerId: string, bytes: number) => void;
}

/**
 * Has the log keep transcripts that changed, and holds retention back until it does: whatever crashes, the events that are
 * not in a kept transcript are still there to be folded. Once there is a transcript, retention is also held where the log
 * was when all were kept, and let go of now and then: what a batch brings may be more than the limits allow to stay, and
 * would go with the commit of the batch, before anyone could fold it.
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
  #stopTimer: StopTimer | undefined;
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

  /** An event changed a transcript, which has so many bytes now. */
  changed(workerId: string, sequence: number, eventBytes: number, transcriptBytes: number): void {
    let unkept = this.#unkept.get(workerId);
    if (unkept === undefined) {
      unkept = { first: sequence, events: 0, bytes: 0 };
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
      unkept.events >= limits.transcriptKeepEvents ||
      unkept.bytes >= Math.max(limits.transcriptKeepBytes, transcriptBytes);
    if (due && !this.#keeping.has(workerId)) void this.#keep([workerId]);
  }

  /** The log has come this far. */
  advanced(sequence: number): void {
    this.#head = sequence;
    if (sequence <= this.#hold) return;
    this.#arm();
    if (sequence - this.#hold < limits.transcriptHoldEvents) return;
    if (this.unkept === 0) this.#moveHold();
    else if (this.#keeping.size === 0) void this.keepAll();
  }

  /** Settles when the log keeps every transcript as it is now, or it was tried. */
  keepAll(): Promise<void> {
    const workerIds = [...this.#unkept.keys()].filter((workerId) => !this.#keeping.has(workerId));
    if (workerIds.length > 0) void this.#keep(workerIds);
    return this.#running;
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
    // What changed while something of it was being kept takes a second round.
    for (let round = 0; round < 2; round++) await this.keepAll();
    if (this.unkept > 0 || !this.#hasTranscripts) return;
    // All that is there may go, and what comes after the next start is held. That it could not be said only delays retention.
    const { log } = this.#options;
    const hold = log.bounds({ kind: "runtime" }).head.sequence;
    await log.append({ events: [], state: new Map([[holdKey, encodeHold(hold)]]) }).catch(() => undefined);
  }

  #keep(workerIds: readonly string[]): Promise<void> {
    const kept = this.#append(workerIds);
    this.#running = Promise.all([this.#running, kept]).then(() => undefined);
    return kept;
  }

  async #append(workerIds: readonly string[]): Promise<void> {
    const { log, encode, report, onKept } = this.#options;
    let state = new Map<string, Uint8Array>();
    let bytes = 0;
    const batches = [state];
    for (const workerId of workerIds) {
      if (bytes >= maxAppendBytes) {
        state = new Map();
        batches.push(state);
        bytes = 0;
      }
      const encoded = encode(workerId);
      bytes += encoded.length;
      state.set(workerId, encoded);
      this.#keeping.set(workerId, this.#unkept.get(workerId) as Unkept);
      this.#unkept.delete(workerId);
    }
    await Promise.all(
      batches.map(async (batch) => {
        const puts = new Map([...batch].map(([workerId, encoded]) => [transcriptKey(workerId), encoded]));
        // What a crash leaves behind is trimmed when the log is opened, before anyone could say what to hold.
        puts.set(holdKey, encodeHold(this.#holdBeside(batch)));
        const error = await log.append({ events: [], state: puts }).then(
          () => undefined,
          (reason: unknown) => ({ reason }),
        );
        for (const [workerId, encoded] of batch) {
          // Forgotten meanwhile.
          if (!this.#keeping.has(workerId)) continue;
          if (error === undefined) onKept(workerId, encoded.length);
          else this.#takeBack(workerId);
          this.#keeping.delete(workerId);
        }
        if (error !== undefined && !this.#closed) report(error.reason);
      }),
    );
    this.#moveHold();
    if (this.#unkept.size > 0) this.#arm();
  }

  #takeBack(workerId: string): void {
    const before = this.#keeping.get(workerId) as Unkept;
    const since = this.#unkept.get(workerId);
    this.#unkept.set(workerId, { ...before, events: before.events + (since?.events ?? 0) });
  }

  #arm(): void {
    if (this.#closed) return;
    this.#stopTimer ??= this.#options.clock.after(limits.transcriptKeepMs, () => {
      this.#stopTimer = undefined;
      if (this.unkept === 0) this.#moveHold();
      else void this.keepAll();
    });
  }

  #moveHold(): void {
    this.#setHold(this.#hasTranscripts ? this.#holdBeside(new Map()) : this.#base);
  }

  /** The sequence after which to hold, once these transcripts are kept. */
  #holdBeside(kept: ReadonlyMap<string, unknown>): number {
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
