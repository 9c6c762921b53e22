import { randomBytes, randomUUID } from "node:crypto";
import { join } from "node:path";
import { type Clock, systemClock } from "../../base/clock.ts";
import { invalidRequest } from "../../base/errors.ts";
import { limits, type RetentionLimits } from "../../base/limits.ts";
import type { EpochBeginning } from "../../events/epochs.ts";
import type { EventLog } from "../contract.ts";
import { LogIndex } from "../index/log-index.ts";
import { resolveRetention } from "../index/retention.ts";
import { EmbeddedLog } from "./embedded-log.ts";
import { type FileSystem, nodeFileSystem } from "./file-system.ts";
import { currentBootId, type Durability, type IdentityRecord, type KeptEpochs, readIdentity } from "./identity.ts";
import { type Lock, takeLock } from "./lock.ts";
import { openErrorOf, openFailed } from "./open-errors.ts";
import { recover, type Tail } from "./recover.ts";
import { Reservation } from "./reservation.ts";
import { createSegment, type Segment } from "./segment.ts";
import { WorkerNumbers } from "./worker-numbers.ts";

export interface EmbeddedLogOptions {
  /** Where the log is, or is to be. The directory is the log's alone; it is made if it does not exist. */
  readonly directory: string;
  /** Id of the runtime, at most 256 bytes. Default: that of the log, or a random one for a new log. */
  readonly runtimeId?: string;
  /**
   * What an acknowledged event survives: "fsync" (default) the loss of power, "process" the end of the process. After a
   * loss of power a "process" log may miss its newest events; it then has a new generation, so that nobody resumes wrongly.
   */
  readonly durability?: Durability;
  /** What bounds the history. Default: `defaultRetention`. */
  readonly retention?: Partial<RetentionLimits>;
  readonly clock?: Clock;
  /** How files are reached. Default: Node. */
  readonly fileSystem?: FileSystem;
}

/** Segments that a log within its limits has, about. */
const segmentsInLog = 64;
const minSegmentBytes = 1024 * 1024;
const maxSegmentBytes = 64 * 1024 * 1024;

/** What may be in a directory whose log was never finished being made. */
const ownNames = /^(identity|identity\.tmp|log|lock\.db.*|lost\+found)$/;

/**
 * Opens the log in a directory, or makes one. Close it when done: an unclean end costs a reserved range of sequences.
 *
 * @throws TailraceError `log_open_failed`, whose message says what to do, or `invalid_request` for options.
 */
export async function openEmbeddedLog(options: EmbeddedLogOptions): Promise<EventLog> {
  const retention = resolveRetention(options.retention);
  const durability = options.durability ?? "fsync";
  if (durability !== "fsync" && durability !== "process") {
    throw invalidRequest("durability", 'must be "fsync" or "process"');
  }
  const { directory } = options;
  const fileSystem = options.fileSystem ?? nodeFileSystem;
  let lock: Lock | undefined;
  try {
    await fileSystem.makeDirectory(directory);
    await fileSystem.checkWritable(directory);
    lock = takeLock(join(directory, "lock.db"), directory);
    return await openLocked({ ...options, durability, fileSystem }, retention, lock);
  } catch (error) {
    lock?.release();
    throw openErrorOf(directory, error);
  }
}

async function openLocked(
  options: EmbeddedLogOptions & { durability: Durability; fileSystem: FileSystem },
  retention: RetentionLimits,
  lock: Lock,
): Promise<EmbeddedLog> {
  const { directory, fileSystem, durability } = options;
  const segmentsDirectory = join(directory, "log");
  const before = await readIdentity(fileSystem, directory);
  if (before === undefined) await checkUnused(fileSystem, directory, segmentsDirectory);
  const runtimeId = runtimeIdOf(options.runtimeId, before);
  await fileSystem.makeDirectory(segmentsDirectory);
  await fileSystem.syncDirectory(directory);
  const bootId = await currentBootId();
  const birthTime = (await fileSystem.birthTime(join(directory, "lock.db"))) ?? "";
  // Without a sync, what the machine had not written when it went down is gone, however much was acknowledged.
  const mayHaveLost =
    before !== undefined &&
    !before.clean &&
    before.durability === "process" &&
    (bootId === "" || before.bootId !== bootId);

  const index = new LogIndex(retention);
  const numbers = new WorkerNumbers();
  const tail: Tail = before?.clean ? "none" : mayHaveLost ? "any" : "batch";
  const { segments, checkpoint } = await recover(fileSystem, segmentsDirectory, index, numbers, tail);
  const opened: Segment[] = [...segments];
  try {
    const isCopy =
      before !== undefined && before.birthTime !== "" && birthTime !== "" && before.birthTime !== birthTime;
    // Every session leaves a segment behind, so a log without any was emptied.
    const isShort = before !== undefined && (segments.length === 0 || index.head.sequence < before.highWater);
    const keeps = before !== undefined && !isCopy && !isShort && !mayHaveLost;
    const generation = keeps ? before.generation : randomBytes(8).readBigUInt64BE();
    // After a clean end the next sequence is free; else everything that was reserved may have been given out.
    const firstSequence = Math.max(index.head.sequence, before?.reservedThrough ?? 0) + 1;
    // What a session without syncs left behind must be safe before this one promises that it is.
    await segments.at(-1)?.file.datasync();
    const reservation = await Reservation.begin(fileSystem, directory, {
      runtimeId,
      generation,
      durability,
      bootId,
      birthTime,
      epochs: beginEpoch(index, keeps ? before.epochs : undefined),
      nextSequence: firstSequence,
      headSequence: index.head.sequence,
    });
    let current = segments.at(-1);
    // What was merged into a segment must not be given a number again.
    if (current === undefined || current.through !== current.number) {
      const number = Math.max(current?.through ?? 0, checkpoint?.through ?? 0) + 1;
      current = await createSegment(fileSystem, segmentsDirectory, number);
      opened.push(current);
    }
    const log = new EmbeddedLog(
      {
        fileSystem,
        segmentsDirectory,
        durability,
        lock,
        reservation,
        index,
        numbers,
        segments: new Map(opened.map((segment) => [segment.number, segment])),
        current,
        segmentBytes: segmentBytesFor(retention),
        firstSequence,
        checkpointThrough: checkpoint?.through ?? 0,
        checkpointBytes: checkpoint?.size ?? 0,
      },
      { runtimeId, generation },
      options.clock ?? systemClock,
    );
    await log.start();
    return log;
  } catch (error) {
    for (const segment of opened) segment.drop();
    throw error;
  }
}

/** What comes from now on is of an epoch that no log had which this one may have been put back in place of. Gives all epochs. */
function beginEpoch({ epochs, head }: LogIndex, before: KeptEpochs | undefined): KeptEpochs {
  if (before !== undefined) {
    const hasEvents = ({ after }: EpochBeginning) => after < head.sequence;
    epochs.restore(before.beginnings.filter(hasEvents), before.forgottenThrough);
  }
  epochs.begin(head.sequence, randomUUID());
  return { beginnings: [...epochs.beginnings()], forgottenThrough: epochs.forgottenThrough };
}

/** A directory without an identity may only become a log if it is empty. */
async function checkUnused(fileSystem: FileSystem, directory: string, segmentsDirectory: string): Promise<void> {
  const foreign = (await fileSystem.list(directory)).find((name) => !ownNames.test(name));
  if (foreign !== undefined) {
    throw openFailed(
      "not_a_log",
      `${directory} is no log: it holds "${foreign}". Choose an empty or a new directory for the log.`,
    );
  }
  const segments = await fileSystem.list(segmentsDirectory).catch(() => []);
  if (segments.length > 0) {
    throw openFailed(
      "corrupt",
      `${join(directory, "identity")} is missing, though there is a log. Restore it from a backup, or move the directory away to start with an empty log.`,
    );
  }
}

function runtimeIdOf(wanted: string | undefined, before: IdentityRecord | undefined): string {
  if (
    wanted !== undefined &&
    (wanted === "" || !wanted.isWellFormed() || Buffer.byteLength(wanted) > limits.maxIdBytes)
  ) {
    throw invalidRequest("runtimeId", `must have 1 to ${limits.maxIdBytes} bytes of well-formed text`);
  }
  if (wanted !== undefined && before !== undefined && before.runtimeId !== wanted) {
    throw invalidRequest("runtimeId", `the log belongs to runtime ${before.runtimeId}; leave it out or name that one`);
  }
  return wanted ?? before?.runtimeId ?? randomUUID();
}

function segmentBytesFor(retention: RetentionLimits): number {
  return Math.min(maxSegmentBytes, Math.max(minSegmentBytes, Math.floor(retention.bytes / segmentsInLog)));
}
