import { hasReason, type TailraceError } from "../base/errors.ts";
import type { Position } from "../events/cursor.ts";
import type { Epochs } from "../events/epochs.ts";
import type { EventBlock } from "./block.ts";
import type { Subjects } from "./subjects.ts";

/** Which events a reader wants to see: those of the runtime, those of some of its workers, or those of one job. */
export type Scope =
  | { readonly kind: "runtime" }
  | { readonly kind: "workers"; readonly workerIds: readonly string[] }
  | { readonly kind: "job"; readonly jobId: string };

/** Field numbers of payloads; undefined: all kinds. */
export type KindFilter = ReadonlySet<number> | undefined;

/** What tells one log from another. A cursor carries both. */
export interface LogIdentity {
  /** Id of the runtime that the log belongs to, at most 256 bytes. */
  readonly runtimeId: string;
  /** 64 random bits, drawn anew when the log is created, wiped, or found restored from a backup. */
  readonly generation: bigint;
}

/** An event on its way into the log. */
export interface PendingEvent {
  /** Empty: of the runtime itself. */
  readonly workerId: string;
  /** Empty: of no job. */
  readonly jobId: string;
  /** Field number of the payload. */
  readonly kind: number;
  /** `tailrace.v1.Event` without fields 1 to 4. The log puts `time` in front and keeps the rest as it is. */
  readonly body: Uint8Array;
}

/**
 * A value, null to remove it, or a value that says where its batch went: the log writes the encoded `AppendResult`
 * (`resultBytes`, src/log/state-put.ts) over the bytes from `resultAt`. A value and no function, because it may be
 * another process that learns the place first.
 */
export type StatePut = Uint8Array | null | { readonly bytes: Uint8Array; readonly resultAt: number };

/** Key of the state that has a hold (`EventLog.holdAfter`) which outlives the process: a sequence, as decimal text. */
export const holdKey = "hold";

/** A batch that is committed whole or not at all. */
export interface AppendBatch {
  /** May be empty if there is state to put. */
  readonly events: readonly PendingEvent[];
  /** Small values by key, committed together with the events. Kept until removed. */
  readonly state?: ReadonlyMap<string, StatePut>;
  /** Workers to forget: their floor, counts and existence. Only those that nothing retained names; others are left alone. */
  readonly forgetWorkers?: readonly string[];
  /**
   * Jobs to forget once the batch's events are in: their floor, counts and existence. What is retained of one counts
   * against its workers from then on, and what lies at or below their floors is gone. Unknown ones are left alone.
   */
  readonly forgetJobs?: readonly string[];
  /**
   * Keys of the state that the batch depends on, as are those that it puts: if another process put one of them since this
   * one last saw it, nothing is committed. Of use where several processes share a log.
   */
  readonly fence?: readonly string[];
  /**
   * State alone, which must not wait or be refused because much is appended: it has a reserve of its own (limits.urgentAppendBytes),
   * and on a log that is shared it is sent before what waits. So it may be committed before appends that were made earlier, and
   * those that put or depend on the same keys are not refused for what another process put before it: only for keys of which
   * that does no harm. Ignored for a batch with events, or with workers or jobs to forget: an event must not come before those
   * that were said earlier, so the end of a job, urgent as it is, waits behind what its job said. Default: false.
   */
  readonly urgent?: boolean;
}

/** Whether a batch goes before what waits. */
export function isUrgent({ urgent, events, forgetWorkers, forgetJobs }: AppendBatch): boolean {
  return urgent === true && events.length === 0 && forgetWorkers === undefined && forgetJobs === undefined;
}

/**
 * Whether an append was refused because another process that shares the log put state that the batch puts or depends on.
 * Nothing was committed, and this process knows by now what the other one put: decide again, and append that.
 */
export function isConflict(error: unknown): boolean {
  return hasReason(error, "log_unavailable") && error.details.conflict === true;
}

/** Where a batch went. */
export interface AppendResult {
  /** Sequence of the first event; of the head where the batch had none. */
  readonly firstSequence: number;
  /** Position after the last event, in the scopes of its worker and its job; the head where the batch had none. */
  readonly last: Position;
  /** When it was committed, by the time of the log: that of its events, in milliseconds since the epoch. */
  readonly timeMs: number;
}

/** What a scope holds. Positions count in the scope: the events of a single worker, or of a job; else those of the runtime only. */
export interface ScopeBounds {
  /** Highest position removed from the scope; the origin where nothing was. A cursor below it is expired. */
  readonly floor: Position;
  /** The newest position: the head of the log, counted in the scope. */
  readonly head: Position;
}

/** A bounded pass over the log. */
export interface ReadRequest {
  readonly scope: Scope;
  readonly kinds: KindFilter;
  /** Sequence after which to read. */
  readonly after: number;
  /** Sequence after which not to read. */
  readonly until: number;
  /** Events at the most, at least 1. */
  readonly maxEvents: number;
  /** Bytes of stored events at the most; a single larger event is still given. */
  readonly maxBytes: number;
  /**
   * Memory that the block may go into, as far as it fits. The block then holds until the caller uses the memory again, which
   * is never after a read that failed: the system may still be writing to it. Default: memory of its own.
   */
  readonly memory?: PageMemory;
}

/** Memory for one page that is read: for the bytes of its events, and for where they begin and end. */
export interface PageMemory {
  readonly bytes: Uint8Array;
  /** Both have the same length: an element for each event. */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

/**
 * What a pass found. `expired`: something after `after` was removed from the scope, so nothing is given. Else `block`
 * (undefined: nothing wanted) has every retained wanted event in (`after`, `through`], and `through` is a position in
 * the scope that is beyond `after` unless `after` was the head or `until` already.
 */
export type ReadPage =
  | { readonly kind: "page"; readonly block: EventBlock | undefined; readonly through: Position }
  | { readonly kind: "expired"; readonly floor: Position };

/** Where a watch may begin, apart from a cursor. */
export type Seek =
  | { readonly kind: "earliest" }
  | { readonly kind: "latest" }
  /** Before the first event accepted at this time (milliseconds since the epoch) or later. */
  | { readonly kind: "time"; readonly timeMs: number }
  /** Before the last `count` events of the scope and kinds. */
  | { readonly kind: "last"; readonly count: number; readonly kinds: KindFilter };

/** Hears of a committed block, and how to say that it is not read any more. */
export type BlockListener = (block: EventBlock, done: () => void) => void;

/** Hears of a committed put: its key, and its value or, where it was removed, undefined. */
export type StateListener = (key: string, value: Uint8Array | undefined) => void;

/** What the log knows of a worker. */
export interface WorkerRecord {
  readonly workerId: string;
  /** Events that it has had in all: the number of its newest. */
  readonly lastOrdinal: number;
  /** When its first and its newest event were accepted, in milliseconds since the epoch. */
  readonly createTimeMs: number;
  readonly lastTimeMs: number;
  /** Events and stored bytes that are retained. */
  readonly retainedEvents: number;
  readonly retainedBytes: number;
}

/** What the log knows of a job. It exists from its first event until it is forgotten, with retained events or without. */
export interface JobRecord {
  readonly jobId: string;
  /** Events that it has had in all: the number of its newest. */
  readonly lastOrdinal: number;
  /** When its first and its newest event were accepted, in milliseconds since the epoch. */
  readonly createTimeMs: number;
  readonly lastTimeMs: number;
  /** Events and stored bytes that are retained. */
  readonly retainedEvents: number;
  readonly retainedBytes: number;
}

/**
 * Whether the log can be used right now. What the error says is shown to clients: its cause alone may name the host's own.
 * `ended`: it stays so, and may be opened again at once. `reads`: only appends fail; it can be read, and what others append is
 * told as always.
 */
export type LogHealth =
  | { readonly available: true }
  | {
      readonly available: false;
      readonly sinceMs: number;
      readonly error: TailraceError;
      readonly ended?: true;
      readonly reads?: true;
    };

/**
 * An ordered, bounded, durable sequence of events. Promises, which the shared suite proves of every implementation:
 *
 * - A batch is committed whole or not at all, and its events have consecutive sequences in the order given.
 * - `append` settles after the commit. What it acknowledged survives `kill -9` of the process, and with durability
 *   "fsync" the loss of power. Appends commit in the order of the calls, except that urgent ones may come sooner.
 * - A sequence is never given out twice, whatever crashes. Ordinals of the runtime, of each worker and of each job have no
 *   holes.
 * - Times never decrease along the log.
 * - Subscribers get each committed block exactly once, in order, after its commit, and before its `append` settles.
 * - `read` gives everything retained after a position, in order, or says that something is missing. It never gives an
 *   event at or below the floor of the scope.
 * - An event counts for retention against its job while the job is remembered, else against its worker, else against the
 *   runtime's own; the limits per worker bound each of them. What is removed raises the floor of its job, its worker and the
 *   runtime, and floors never fall, also over restarts. An event is gone once it is at or below the floor of what it counts
 *   against. Who publishes much never evicts another's events while it holds more than the others.
 * - Retention never makes an `append` fail, and never takes the newest event of a batch before subscribers have had it.
 */
export interface EventLog {
  readonly identity: LogIdentity;
  /**
   * What tells a position of this log from one that has its sequence and was lost, since the log was restored from a backup
   * together with all that is known of it. An event's epoch is known before subscribers get the event.
   */
  readonly epochs: Epochs;
  /** Numbers for the worker ids in blocks of this log. */
  readonly subjects: Subjects;
  /**
   * Whether other processes may append to the log. What is decided from committed state then needs a fence, and is to be
   * decided again where that refuses it (`isConflict`).
   */
  readonly isShared: boolean;
  /**
   * Whether this process looks after what one is enough for: forgetting, keeping projections. Always where the log is not
   * shared. It changes with time, and for a moment two may have it, which fences make harmless.
   */
  readonly isKeeper: boolean;
  /**
   * When the newest append was committed that this process knows of, with events or without, in milliseconds since the epoch.
   * Never decreases while the log is open; 0 before the first. What is forgotten by age on a shared log is so by this time,
   * which is the same for all its servers, and stands still while nothing is appended.
   */
  readonly timeMs: number;
  /** The same for job ids. A number is let go once the job is forgotten and nothing retained names it. */
  readonly jobSubjects: Subjects;

  /**
   * Commits a batch.
   * @throws TailraceError `limit_exceeded` if too much waits already, there are too many workers, or a wall of the store is met (nothing was written),
   *   `log_unavailable` if the store failed or the log is closed (the batch may or may not have been written),
   *   or if another process put some of the state that the batch puts or depends on (it was not: `isConflict`).
   */
  append(batch: AppendBatch): Promise<AppendResult>;

  /**
   * Calls back with every block that is committed from now on. The callback must not throw. Returns how to stop it.
   * A subscriber that reads the bytes of a block no more, nor anything that shares them, may call `done`, once: when all of them
   * have, the bytes may become those of a later block. One that never does leaves them to the collector.
   */
  subscribe(listener: BlockListener): () => void;

  /**
   * What a scope holds now. A worker that does not exist holds nothing: its head is that of the runtime, its floor the
   * highest event that was removed from any worker since forgotten (it may be one of them), both counted 0. A job's id is
   * its own for ever, so a job that does not exist has the origin for its floor, and one whose id was forgotten and comes
   * again is another one.
   */
  bounds(scope: Scope): ScopeBounds;

  /**
   * Settles when the head has come as far as a sequence, which it has not yet. False: it can't have been given out. Where
   * several processes share a log, another one may have given it out, so that this one waits for a while.
   * @throws TailraceError `log_unavailable` if this process is still behind then.
   */
  reach(sequence: number): Promise<boolean>;

  /** Makes one pass. @throws TailraceError `log_unavailable`. */
  read(request: ReadRequest): Promise<ReadPage>;

  /** The position, never below the floor of the scope, where a watch begins. @throws TailraceError `log_unavailable`. */
  seek(scope: Scope, seek: Seek): Promise<Position>;

  /** What is known of a worker; undefined: it does not exist. */
  worker(workerId: string): WorkerRecord | undefined;
  /** All workers, in no particular order. */
  workers(): Iterable<WorkerRecord>;

  /** What is known of a job; undefined: it has had no event yet, or is forgotten. */
  job(jobId: string): JobRecord | undefined;
  /** All jobs that are remembered, in no particular order. */
  jobs(): Iterable<JobRecord>;

  /**
   * Retention removes nothing after this sequence until it is called again (default: `Infinity`, no hold), so that a
   * projection can fold events again that it has not kept yet. What is delayed goes when the hold moves on; an append
   * never fails because of it. A log that is opened again begins with the hold that its state has under `holdKey`.
   */
  holdAfter(sequence: number): void;

  /** Committed state by key. The bytes must not be changed. */
  state(key: string): Uint8Array | undefined;
  /** Committed state whose keys begin with `prefix`. */
  stateEntries(prefix: string): Iterable<readonly [string, Uint8Array]>;

  /**
   * Calls back with every put of state under this prefix that is committed from now on, by whichever process: the key and
   * its value, undefined where it was removed. In the order of the log, after the state has it, and before subscribers get
   * the block of its batch. Of puts of one key that are committed together only the last is told. The callback must not
   * throw. Returns how to stop it.
   */
  subscribeState(prefix: string, listener: StateListener): () => void;

  health(): LogHealth;
  /** Calls back whenever what `health` says becomes another. The callback must not throw. Returns how to stop it. */
  subscribeHealth(listener: (health: LogHealth) => void): () => void;

  /** Commits what was appended, makes it durable and lets go of everything. Later calls of other methods fail. */
  close(): Promise<void>;
}
