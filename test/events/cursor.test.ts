import { crc32 as zlibCrc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32, finishCrc32, startCrc32 } from "../../src/base/crc32.ts";
import { CursorCodec, cursorLength, decodeCursor, hashId, type Position } from "../../src/events/cursor.ts";
import { Epochs } from "../../src/events/epochs.ts";

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
/** As `hashId` gives it. */
const hash = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const position: fc.Arbitrary<Position> = fc
  .record({
    sequence: fc.oneof(
      fc.nat(1000),
      fc.maxSafeNat().map((n) => n % 2 ** 48),
    ),
    skipped: fc.oneof(fc.nat(1000), fc.maxSafeNat()),
    workerHash: hash,
    workerOrdinal: fc.maxSafeNat().map((n) => n % 2 ** 40),
    jobHash: hash,
    jobOrdinal: uint32,
  })
  .map(({ skipped, ...rest }) => ({ ...rest, ordinal: rest.sequence - Math.min(skipped, rest.sequence) }));
const generation = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

function epochOf(writer: string, after: number): Epochs {
  const epochs = new Epochs();
  epochs.begin(after, writer);
  return epochs;
}

/** Straight from docs/protocol.md, "Cursor". */
function tagOf(writer: string): number {
  return zlibCrc32(writer) >>> 8;
}

test("a cursor says what was put in, in one canonical, URL-safe form", () => {
  fc.assert(
    fc.property(
      fc.string(),
      generation,
      position,
      fc.string(),
      fc.boolean(),
      (runtimeId, generationOfLog, at, writer, closing) => {
        const codec = new CursorCodec(runtimeId, generationOfLog, epochOf(writer, at.sequence - 1));
        const text = codec.encode(at, closing);
        expect(text).toMatch(/^[A-Za-z0-9_-]{64}$/);
        expect(codec.decode(text)).toEqual({
          position: at,
          closing,
          runtimeHash: hashId(runtimeId),
          generation: BigInt.asUintN(56, generationOfLog),
          epoch: tagOf(writer) || 1,
        });
        expect(codec.encode(codec.decode(text).position, closing)).toBe(text);
        // Writing a closing cursor leaves nothing behind in the codec.
        expect(codec.decode(codec.encode(at)).closing).toBe(false);
      },
    ),
  );
});

test("a cursor is what the specification says, whichever ones were written before it", () => {
  const near = fc.record({ position, steps: fc.array(fc.nat(70_000), { maxLength: 5 }), begins: fc.boolean() });
  fc.assert(
    fc.property(fc.string(), generation, fc.array(near, { minLength: 1 }), (runtimeId, generationOfLog, runs) => {
      const epochs = new Epochs();
      const begun = [{ after: -1, tag: 0 }];
      let head = 0;
      const codec = new CursorCodec(runtimeId, generationOfLog, epochs);
      const target = new Uint8Array(cursorLength + 2);
      for (const run of runs) {
        // Also while those that were written before it are of the epoch which ends by that.
        if (run.begins) {
          const writer = `w${begun.length}`;
          epochs.begin(head, writer);
          begun.push({ after: head, tag: tagOf(writer) });
        }
        for (const step of [0, ...run.steps]) {
          const at = {
            sequence: Math.min(run.position.sequence + step, 2 ** 48 - 1),
            ordinal: Math.min(run.position.ordinal + step, 2 ** 48 - 1),
            workerHash: run.position.workerHash,
            workerOrdinal: Math.min(run.position.workerOrdinal + step, 2 ** 40 - 1),
            jobHash: run.position.jobHash,
            jobOrdinal: Math.min(run.position.jobOrdinal + step, 2 ** 32 - 1),
          };
          const { workerHash, workerOrdinal, jobHash, jobOrdinal } = at;
          codec.encodeInto(target, 1, at.sequence, at.ordinal, workerHash, workerOrdinal, jobHash, jobOrdinal);
          const epoch = begun.findLast(({ after }) => after < at.sequence)?.tag ?? 0;
          head = Math.max(head, at.sequence);
          const expected = specifiedCursor(runtimeId, generationOfLog, epoch, at);
          expect(Buffer.from(target).toString("latin1")).toBe(`\0${expected}\0`);
          expect(codec.encode(at)).toBe(expected);
        }
      }
    }),
  );
});

/** Straight from docs/protocol.md, "Cursor". */
function specifiedCursor(runtimeId: string, generationOfLog: bigint, epoch: number, at: Position): string {
  const bytes = Buffer.alloc(48);
  bytes.writeUInt8(1, 0);
  bytes.writeInt32BE(hashId(runtimeId), 1);
  bytes.write(generationOfLog.toString(16).padStart(16, "0").slice(2), 5, "hex");
  bytes.writeUIntBE(epoch, 12, 3);
  bytes.writeUIntBE(at.sequence, 15, 6);
  bytes.writeUIntBE(at.sequence - at.ordinal, 21, 6);
  bytes.writeInt32BE(at.workerHash, 27);
  bytes.writeUIntBE(at.workerOrdinal, 31, 5);
  bytes.writeInt32BE(at.jobHash, 36);
  bytes.writeUInt32BE(at.jobOrdinal, 40);
  bytes.writeUInt32BE(zlibCrc32(bytes.subarray(0, 44)), 44);
  return bytes.toString("base64url");
}

test("a cursor holds as many left out sequences as there can be, and beyond the last sequence there is none", () => {
  const codec = new CursorCodec("runtime", 7n);
  const counts = { workerHash: 1, workerOrdinal: 1, jobHash: 0, jobOrdinal: 0 };
  for (const sequence of [2 ** 40, 1024 * 2 ** 30 + 5, 2 ** 48 - 1]) {
    const at = { sequence, ordinal: 1, ...counts };
    expect(codec.decode(codec.encode(at)).position).toEqual(at);
    const beyond = { ...at, sequence: 2 ** 48 };
    const refused = expect.objectContaining({ reason: "limit_exceeded" });
    // Also right after one that has the same upper bytes, as they would be cut.
    for (let i = 0; i < 2; i++) expect(() => codec.encode(beyond)).toThrow(refused);
    expect(codec.decode(codec.encode(at)).position).toEqual(at);
  }
});

test("a cursor with any character altered, added or missing is malformed", () => {
  const codec = new CursorCodec("runtime", 7n, epochOf("writer", 500));
  const anyCharacter = fc.oneof(
    fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
    fc.string({ minLength: 1, maxLength: 1, unit: "binary" }),
  );
  fc.assert(
    fc.property(position, fc.nat(cursorLength - 1), anyCharacter, fc.boolean(), (at, index, character, closing) => {
      const text = codec.encode(at, closing);
      const malformed = expect.objectContaining({ reason: "cursor_malformed" });
      fc.pre(text[index] !== character);
      expect(() => codec.decode(text.slice(0, index) + character + text.slice(index + 1))).toThrow(malformed);
      expect(() => codec.decode(text.slice(0, index) + text.slice(index + 1))).toThrow(malformed);
      expect(() => codec.decode(text.slice(0, index) + character + text.slice(index))).toThrow(malformed);
    }),
    { numRuns: 2_000 },
  );
});

test("any bit that is flipped in the bytes of a cursor is noticed", () => {
  const text = new CursorCodec("runtime", 7n, epochOf("writer", 0)).encode({
    sequence: 123_456,
    ordinal: 123_000,
    workerHash: 1,
    workerOrdinal: 99,
    jobHash: 0,
    jobOrdinal: 0,
  });
  const bytes = Buffer.from(text, "base64url");
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const altered = Buffer.from(bytes);
    altered[bit >> 3] = (altered[bit >> 3] as number) ^ (1 << (bit & 7));
    expect(() => decodeCursor(altered.toString("base64url"))).toThrow(/checksum/);
  }
});

test("a cursor of another runtime or generation is told apart", () => {
  fc.assert(
    fc.property(position, (at) => {
      const text = new CursorCodec("a", 1n).encode(at);
      expect(() => new CursorCodec("b", 1n).decode(text)).toThrow(
        expect.objectContaining({ reason: "cursor_unknown", details: { cause: "other_runtime" } }),
      );
      expect(() => new CursorCodec("a", 2n).decode(text)).toThrow(
        expect.objectContaining({ reason: "cursor_unknown", details: { cause: "other_generation" } }),
      );
    }),
  );
});

test("what is no cursor at all is malformed, and says why", () => {
  for (const text of [
    "",
    "0",
    "null",
    "a".repeat(64),
    "=".repeat(64),
    "💥".repeat(32),
    "a".repeat(60),
    "x".repeat(1_000_000),
  ]) {
    expect(() => decodeCursor(text)).toThrow(expect.objectContaining({ reason: "cursor_malformed" }));
  }
});

test("the checksum is the one of zlib, also in pieces", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, cut) => {
      const at = Math.min(cut, bytes.length);
      expect(crc32(bytes)).toBe(zlibCrc32(bytes));
      expect(finishCrc32(startCrc32(bytes, 0, at), bytes, at, bytes.length)).toBe(zlibCrc32(bytes));
    }),
  );
});
