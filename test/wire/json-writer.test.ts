import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ascii, JsonWriter } from "../../src/wire/json-writer.ts";

function written(write: (writer: JsonWriter) => void): string {
  // As little as there can be, so that everything has to grow.
  const writer = new JsonWriter(1);
  write(writer);
  return writer.bytes.toString("utf8", 0, writer.at);
}

describe("a JSON writer", () => {
  it("writes whole numbers as decimals", () => {
    const edges = [0, 2 ** 30, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER];
    for (let power = 1; power < 2 ** 53; power *= 10) edges.push(power);
    for (const edge of edges) {
      for (const value of [edge - 1, edge, edge + 1]) {
        if (value < 0 || !Number.isSafeInteger(value)) continue;
        expect(written((writer) => writer.putNumber(value))).toBe(String(value));
      }
    }
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        expect(written((writer) => writer.putNumber(value))).toBe(String(value));
      }),
    );
  });

  it("pads numbers with zeros", () => {
    for (const width of [1, 3, 6, 9, 10]) {
      for (const value of [0, 1, 9, 10 ** width - 1].filter((one) => one < 2 ** 31)) {
        expect(written((writer) => writer.putPadded(value, width))).toBe(String(value).padStart(width, "0"));
      }
    }
  });

  it("writes bytes as base64, short and long ones", () => {
    const source = Buffer.from(Array.from({ length: 1_100 }, (_, i) => (i * 89) & 0xff));
    for (const from of [0, 1, 5]) {
      for (let to = from; to <= source.length; to++) {
        const expected = `"${source.toString("base64", from, to)}"`;
        if (written((writer) => writer.putBase64(source, from, to)) !== expected) expect.fail(`${from} to ${to}`);
      }
    }
  });

  it("writes text as JSON.stringify does, and any piece of it", () => {
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code));
    for (const text of ["", "plain", "\n", `"quoted"\n\u0000`, all, "\u2028 ü 🚰"]) {
      const source = Buffer.from(`<${text}>`);
      expect(written((writer) => writer.putString(source, 1, source.length - 1))).toBe(JSON.stringify(text));
    }
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const source = Buffer.from(text);
        expect(written((writer) => writer.putString(source, 0, source.length))).toBe(JSON.stringify(text));
      }),
    );
  });

  it("has room for whatever is written next", () => {
    const often = (write: (writer: JsonWriter, length: number) => void) =>
      written((writer) => {
        for (let length = 0; length < 300; length++) write(writer, length);
      });
    const texts = Array.from({ length: 300 }, (_, length) => "ü€".repeat(length));
    expect(often((writer) => writer.putByte(0x61))).toBe("a".repeat(300));
    expect(often((writer) => writer.put(ascii('{"a":')))).toBe('{"a":'.repeat(300));
    expect(often((writer, length) => writer.putText(texts[length] as string))).toBe(texts.join(""));
  });

  it("keeps what it has when it grows", () => {
    const text = written((writer) => {
      for (let i = 0; i < 20_000; i++) writer.putNumber(i);
    });
    expect(text).toBe(Array.from({ length: 20_000 }, (_, i) => i).join(""));
  });
});
