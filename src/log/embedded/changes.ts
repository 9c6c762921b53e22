import { BinaryReader, BinaryWriter } from "../binary.ts";
import type { PreparedGroup } from "../commit/stage.ts";
import type { Floor } from "../index/scope-entry.ts";

const defineWorker = 1;
const raiseFloor = 2;
const putState = 3;
const removeState = 4;
const forgetWorker = 5;
const defineJob = 6;
const raiseJobFloor = 7;
const forgetJob = 8;

/**
 * What is committed with the events of a batch, in the order in which it takes effect. Workers are numbers of the log's
 * files, jobs the sequences of their first events.
 */
export type Change =
  | { readonly kind: "define"; readonly worker: number; readonly workerId: string }
  | { readonly kind: "defineJob"; readonly job: number; readonly jobId: string }
  | { readonly kind: "forgetJob"; readonly job: number }
  | { readonly kind: "raise"; readonly worker: number; readonly floor: Floor }
  | { readonly kind: "raiseJob"; readonly job: number; readonly floor: Floor }
  | { readonly kind: "state"; readonly key: string; readonly value: Uint8Array | null }
  | { readonly kind: "forget"; readonly worker: number };

/** The changes of a group. `created` are the workers it brings, with the numbers that they get. */
export function encodeChanges(
  group: PreparedGroup,
  created: ReadonlyMap<string, number>,
  numberOf: (worker: number) => number,
): Uint8Array {
  const writer = new BinaryWriter();
  for (const [workerId, number] of created) {
    writer.u8(defineWorker);
    writer.u32(number);
    writer.text(workerId);
  }
  for (const { isJob, firstSequence, id } of group.created) {
    if (!isJob) continue;
    writer.u8(defineJob);
    writer.f64(firstSequence);
    writer.text(id);
  }
  for (const { firstSequence } of group.forgottenJobs) {
    writer.u8(forgetJob);
    writer.f64(firstSequence);
  }
  for (const raise of group.raises) {
    const { isJob, number, firstSequence } = raise.entry;
    writer.u8(isJob ? raiseJobFloor : raiseFloor);
    if (isJob) writer.f64(firstSequence);
    else writer.u32(numberOf(number));
    writeFloor(writer, raise);
  }
  for (const [key, value] of group.state) {
    writer.u8(value === null ? removeState : putState);
    writer.text(key);
    if (value !== null) writer.data(value);
  }
  for (const { number } of group.forgottenWorkers) {
    writer.u8(forgetWorker);
    writer.u32(numberOf(number));
  }
  return writer.bytes;
}

/** Throws where the bytes are none that `encodeChanges` wrote. */
export function decodeChanges(bytes: Uint8Array): Change[] {
  const reader = new BinaryReader(bytes);
  const changes: Change[] = [];
  while (!reader.isAtEnd) {
    const kind = reader.u8();
    switch (kind) {
      case defineWorker:
        changes.push({ kind: "define", worker: reader.u32(), workerId: reader.text() });
        break;
      case raiseFloor:
        changes.push({ kind: "raise", worker: reader.u32(), floor: readFloor(reader) });
        break;
      case defineJob:
        changes.push({ kind: "defineJob", job: reader.f64(), jobId: reader.text() });
        break;
      case raiseJobFloor:
        changes.push({ kind: "raiseJob", job: reader.f64(), floor: readFloor(reader) });
        break;
      case forgetJob:
        changes.push({ kind: "forgetJob", job: reader.f64() });
        break;
      case putState:
        changes.push({ kind: "state", key: reader.text(), value: reader.data() });
        break;
      case removeState:
        changes.push({ kind: "state", key: reader.text(), value: null });
        break;
      case forgetWorker:
        changes.push({ kind: "forget", worker: reader.u32() });
        break;
      default:
        throw new RangeError(`there is no change of kind ${kind}`);
    }
  }
  return changes;
}

export function writeFloor(writer: BinaryWriter, floor: Floor): void {
  writer.f64(floor.sequence);
  writer.f64(floor.ordinal);
  writer.f64(floor.scopeOrdinal);
}

export function readFloor(reader: BinaryReader): Floor {
  return { sequence: reader.f64(), ordinal: reader.f64(), scopeOrdinal: reader.f64() };
}
