import type { LogIndex } from "../index/log-index.ts";
import type { FileSystem } from "./file-system.ts";
import type { Durability } from "./identity.ts";
import type { Lock } from "./lock.ts";
import type { Reservation } from "./reservation.ts";
import type { Segment } from "./segment.ts";
import type { WorkerNumbers } from "./worker-numbers.ts";

/** What an open log works with. */
export interface OpenedFiles {
  readonly fileSystem: FileSystem;
  /** Where segments and checkpoint are. */
  readonly segmentsDirectory: string;
  readonly durability: Durability;
  readonly lock: Lock;
  readonly reservation: Reservation;
  readonly index: LogIndex;
  readonly numbers: WorkerNumbers;
  readonly segments: Map<number, Segment>;
  /** The segment that is written to. */
  current: Segment;
  /** Bytes after which a segment is full. */
  readonly segmentBytes: number;
  /** Sequence that the first event of this session gets. */
  readonly firstSequence: number;
  /** Number of the last segment that the checkpoint covers, and the checkpoint's bytes. */
  checkpointThrough: number;
  checkpointBytes: number;
}
