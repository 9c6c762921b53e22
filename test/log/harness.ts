import { fromBinary } from "@bufbuild/protobuf";
import { EventSchema } from "../../gen/tailrace/v1/event_pb.ts";
import type { ManualClock } from "../../src/base/clock.ts";
import type { RetentionLimits } from "../../src/base/limits.ts";
import type { EventBlock } from "../../src/log/block.ts";
import type { EventLog, KindFilter, PageMemory, PendingEvent, Scope } from "../../src/log/contract.ts";

export interface OpenOptions {
  readonly retention?: Partial<RetentionLimits>;
  readonly clock?: ManualClock;
}

/** One log of an implementation, over its restarts. */
export interface LogUnderTest {
  /** Opens the log, for the first time or again after `close`. */
  open(options?: OpenOptions): Promise<EventLog>;
  /** Removes everything that the log stored, as an operator would. Undefined: it stores nothing. */
  readonly wipe: (() => Promise<void>) | undefined;
  /** Whether a closed log can be opened again with what it held. */
  readonly durable: boolean;
}

export interface Implementation {
  readonly name: string;
  /** A log that does not exist yet. What it leaves behind is removed after the test. */
  create(): LogUnderTest;
}

export const runtimeScope: Scope = { kind: "runtime" };

export function workers(...workerIds: string[]): Scope {
  return { kind: "workers", workerIds };
}

export function job(jobId: string): Scope {
  return { kind: "job", jobId };
}

/** An event whose body says its worker, its job and, as its correlation, a text. Of any kind. */
export function event(workerId: string, text: string, kind = 40, jobId = ""): PendingEvent {
  const own = new TextEncoder().encode(text);
  const worker = new TextEncoder().encode(workerId);
  const ofJob = new TextEncoder().encode(jobId);
  // worker_id = 6, job_id = 7, correlation_id = 8: strings that any schema version reads.
  const ids = [0x32, worker.length, ...worker, ...(jobId === "" ? [] : [0x3a, ofJob.length, ...ofJob])];
  return { workerId, jobId, kind, body: Uint8Array.from([...ids, 0x42, ...varint(own.length), ...own]) };
}

export function events(workerId: string, count: number, from = 1, kind = 40): PendingEvent[] {
  return Array.from({ length: count }, (_, i) => event(workerId, `${workerId}:${from + i}`, kind));
}

/** Events of a job of a worker. */
export function jobEvents(workerId: string, jobId: string, count: number, from = 1): PendingEvent[] {
  return Array.from({ length: count }, (_, i) => event(workerId, `${jobId}:${from + i}`, 40, jobId));
}

/** What a reader sees of an event. */
export interface Seen {
  readonly sequence: number;
  readonly ordinal: number;
  readonly workerId: string;
  readonly workerOrdinal: number;
  readonly jobId: string;
  readonly jobOrdinal: number;
  readonly kind: number;
  readonly timeMs: number;
  readonly text: string;
}

/** The events of a block, decoded from their stored bytes, which must agree with the block's arrays. */
export function seenOf(block: EventBlock): Seen[] {
  return Array.from({ length: block.length }, (_, i) => {
    const stored = block.bytes.subarray(block.starts[i], block.ends[i]);
    const decoded = fromBinary(EventSchema, stored);
    const timeMs = Number(decoded.time?.seconds ?? 0n) * 1000 + Math.floor((decoded.time?.nanos ?? 0) / 1_000_000);
    const workerId = block.subjects.idOf(block.workers[i] as number);
    if (timeMs !== block.times[i]) throw new Error(`time ${timeMs} in the bytes, ${block.times[i]} beside them`);
    if (decoded.workerId !== workerId) throw new Error(`worker ${decoded.workerId} in the bytes, ${workerId} beside`);
    const jobId = block.jobSubjects.idOf(block.jobs[i] as number);
    if (decoded.jobId !== jobId) throw new Error(`job ${decoded.jobId} in the bytes, ${jobId} beside them`);
    return {
      sequence: block.sequences[i] as number,
      ordinal: block.ordinals[i] as number,
      workerId,
      workerOrdinal: block.workerOrdinals[i] as number,
      jobId,
      jobOrdinal: block.jobOrdinals[i] as number,
      kind: block.kinds[i] as number,
      timeMs,
      text: decoded.correlationId,
    };
  });
}

export interface ReadAllOptions {
  readonly scope?: Scope;
  readonly kinds?: KindFilter;
  readonly after?: number;
  readonly until?: number;
  readonly maxEvents?: number;
  readonly maxBytes?: number;
  readonly memory?: PageMemory;
}

/** Reads page by page to the head (or `until`), checking that every page gets on. */
export async function readAll(log: EventLog, options: ReadAllOptions = {}): Promise<Seen[]> {
  const scope = options.scope ?? runtimeScope;
  const seen: Seen[] = [];
  let after = options.after ?? log.bounds(scope).floor.sequence;
  const end = Math.min(options.until ?? Number.POSITIVE_INFINITY, log.bounds(scope).head.sequence);
  while (after < end) {
    const page = await log.read({
      scope,
      kinds: options.kinds,
      after,
      until: end,
      maxEvents: options.maxEvents ?? 1000,
      maxBytes: options.maxBytes ?? 1024 * 1024,
      ...(options.memory === undefined ? {} : { memory: options.memory }),
    });
    if (page.kind === "expired") throw new Error(`expired: floor ${page.floor.sequence}, read after ${after}`);
    if (page.through.sequence <= after) throw new Error(`a pass after ${after} got to ${page.through.sequence}`);
    if (page.block !== undefined) {
      const found = seenOf(page.block);
      if (found.length > (options.maxEvents ?? 1000)) throw new Error("the page has too many events");
      if ((found[0]?.sequence ?? 0) <= after) throw new Error("the page begins before its position");
      if ((found.at(-1)?.sequence ?? 0) > page.through.sequence) throw new Error("the page ends beyond its position");
      seen.push(...found);
    }
    after = page.through.sequence;
  }
  return seen;
}

export function texts(seen: readonly Seen[]): string[] {
  return seen.map((one) => one.text);
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, value >>> 7];
}
