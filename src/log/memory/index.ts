import { randomBytes, randomUUID } from "node:crypto";
import { type Clock, systemClock } from "../../base/clock.ts";
import { invalidRequest } from "../../base/errors.ts";
import { limits, type RetentionLimits } from "../../base/limits.ts";
import { type EventBlock, jobsOf } from "../block.ts";
import { boundsOfStoredBytes, type PreparedGroup, writeStoredBytes } from "../commit/stage.ts";
import type { LogIdentity } from "../contract.ts";
import type { Layout } from "../index/extents.ts";
import { LogIndex } from "../index/log-index.ts";
import { resolveRetention } from "../index/retention.ts";
import type { EventArrays, Placement } from "../index/staged.ts";
import { IndexedLog } from "../indexed-log.ts";
import type { FetchedBytes } from "../readable-log.ts";
import { Slabs } from "./slabs.ts";

export interface MemoryLogOptions {
  /** Id of the runtime, at most 256 bytes. Default: a random one. */
  readonly runtimeId?: string;
  /** 64 bits that tell this log from others of the runtime. Default: random ones. */
  readonly generation?: bigint;
  /** What bounds the history. Default: `defaultRetention`. */
  readonly retention?: Partial<RetentionLimits>;
  readonly clock?: Clock;
}

/** A log in memory: it ends with its process. Every promise but durability holds. */
export class MemoryLog extends IndexedLog {
  readonly identity: LogIdentity;
  readonly #slabs: Slabs;

  /** @throws TailraceError `invalid_request` for options that make no sense. */
  constructor(options: MemoryLogOptions = {}) {
    super(new LogIndex(resolveRetention(options.retention)), options.clock ?? systemClock);
    const runtimeId = options.runtimeId ?? randomUUID();
    if (runtimeId === "" || !runtimeId.isWellFormed() || Buffer.byteLength(runtimeId) > limits.maxIdBytes) {
      throw invalidRequest("runtimeId", `must have 1 to ${limits.maxIdBytes} bytes of well-formed text`);
    }
    this.identity = { runtimeId, generation: options.generation ?? randomBytes(8).readBigUInt64BE() };
    this.#slabs = new Slabs(this.index);
  }

  protected nextSequence(): number {
    return this.index.head.sequence + 1;
  }

  protected place(_events: EventArrays, storedBytes: number): Placement {
    return this.#slabs.place(storedBytes);
  }

  protected write(group: PreparedGroup): EventBlock | undefined {
    if (group.events.length === 0) return undefined;
    const bytes = this.#slabs.take(group.placement, group.storedBytes);
    writeStoredBytes(group, bytes, group.placement.offset);
    const { length, sequences, ordinals, workers, workerOrdinals, kinds, times } = group.events;
    const { starts, ends } = boundsOfStoredBytes(group, group.placement.offset);
    const { jobs, jobOrdinals } = jobsOf(group.events);
    const { subjects, jobSubjects } = this;
    return {
      length,
      sequences,
      ordinals,
      workers,
      workerOrdinals,
      jobs,
      jobOrdinals,
      kinds,
      times,
      bytes,
      starts,
      ends,
      subjects,
      jobSubjects,
    };
  }

  protected fetch(layout: Layout, memory: Uint8Array | undefined): FetchedBytes {
    return this.#slabs.fetch(layout, memory);
  }

  protected reclaim(): void {
    this.#slabs.reclaim();
  }

  protected async release(): Promise<void> {
    this.#slabs.clear();
  }
}
