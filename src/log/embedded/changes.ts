import type { PreparedGroup } from "../commit/stage.ts";
import type { FloorRaise } from "../index/worker.ts";
import { BinaryReader, BinaryWriter } from "./binary.ts";

const defineWorker = 1;
const raiseFloor = 2;
const putState = 3;
const removeState = 4;
const forgetWorker = 5;

/** What is committed with the events of a batch. Workers are numbers of the log's files. */
export type Change =
  | { readonly kind: "define"; readonly worker: number; readonly workerId: string }
  | ({ readonly kind: "raise" } & FloorRaise)
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
  for (const raise of group.raises) {
    writer.u8(raiseFloor);
    writer.u32(numberOf(raise.worker));
    writer.f64(raise.sequence);
    writer.f64(raise.ordinal);
    writer.f64(raise.workerOrdinal);
  }
  for (const [key, value] of group.state) {
    writer.u8(value === null ? removeState : putState);
    writer.text(key);
    if (value !== null) writer.data(value);
  }
  for (const entry of group.forgotten) {
    writer.u8(forgetWorker);
    writer.u32(numberOf(entry.number));
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
        changes.push({
          kind: "raise",
          worker: reader.u32(),
          sequence: reader.f64(),
          ordinal: reader.f64(),
          workerOrdinal: reader.f64(),
        });
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
