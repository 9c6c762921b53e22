import type { AppendResult, StatePut } from "./contract.ts";

/** Bytes of an encoded `AppendResult`, always. */
export const resultBytes = 8 * 8;

/** Writes where a batch went, and when: eight doubles, so that room for it can be left before it is known. */
export function writeResult(target: Uint8Array, at: number, { firstSequence, last, timeMs }: AppendResult): void {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  view.setFloat64(at, firstSequence);
  view.setFloat64(at + 8, last.sequence);
  view.setFloat64(at + 16, last.ordinal);
  view.setFloat64(at + 24, last.workerHash);
  view.setFloat64(at + 32, last.workerOrdinal);
  view.setFloat64(at + 40, last.jobHash);
  view.setFloat64(at + 48, last.jobOrdinal);
  view.setFloat64(at + 56, timeMs);
}

/** Reads what `writeResult` wrote. */
export function readResult(value: Uint8Array, at: number): AppendResult {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  return {
    firstSequence: view.getFloat64(at),
    last: {
      sequence: view.getFloat64(at + 8),
      ordinal: view.getFloat64(at + 16),
      workerHash: view.getFloat64(at + 24),
      workerOrdinal: view.getFloat64(at + 32),
      jobHash: view.getFloat64(at + 40),
      jobOrdinal: view.getFloat64(at + 48),
    },
    timeMs: view.getFloat64(at + 56),
  };
}

/** The value that a put leaves in the state, now that the place of its batch is known; null: it removes the key. */
export function valueToPut(put: StatePut, result: AppendResult): Uint8Array | null {
  if (put === null || put instanceof Uint8Array) return put;
  const value = put.bytes.slice();
  writeResult(value, put.resultAt, result);
  return value;
}

/** Bytes of the value that a put leaves. */
export function sizeOf(put: StatePut): number {
  if (put === null) return 0;
  return put instanceof Uint8Array ? put.length : put.bytes.length;
}
