import fc from "fast-check";
import { expect, test } from "vitest";
import { LineAssembler } from "../../../src/cli/output/lines.ts";

/** Cuts bytes at places, which may lie inside characters. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

test("lines come out whole, wherever the pieces were cut", () => {
  const line = fc.string({ unit: "binary", maxLength: 20 }).map((text) => text.replaceAll(/[\r\n\ufeff]/g, ""));
  const lines = fc.array(fc.tuple(line, fc.constantFrom("\n", "\r\n", "\r")), { maxLength: 20 });
  fc.assert(
    fc.property(lines, line, fc.array(fc.nat(), { maxLength: 30 }), (whole, rest, places) => {
      // A lone return before a newline of the next line would be one end, not two.
      const ends = whole.filter(
        ([text, end], index) => !(text === "" && end === "\n" && whole[index - 1]?.[1] === "\r"),
      );
      const text = ends.map(([content, end]) => content + end).join("") + rest;
      const bytes = new TextEncoder().encode(text);
      const assembler = new LineAssembler();
      const seen = cut(bytes, places).flatMap((piece) => assembler.push("key", piece));
      const last = assembler.end("key");
      if (last !== undefined) seen.push(last);
      const expected = new TextDecoder().decode(bytes).split(/\r\n|\n|\r/);
      if (expected.at(-1) === "") expected.pop();
      expect(seen).toEqual(expected);
    }),
    { numRuns: 500 },
  );
});

test("outputs do not mix, and an unfinished line can be had early", () => {
  const assembler = new LineAssembler();
  expect(assembler.push("a", Buffer.from("pass"))).toEqual([]);
  expect(assembler.push("b", Buffer.from("x\ny"))).toEqual(["x"]);
  expect(assembler.unfinished()).toEqual(["a", "b"]);
  expect(assembler.flush("a")).toBe("pass");
  expect(assembler.push("a", Buffer.from("word\n"))).toEqual(["word"]);
  expect(assembler.end("b")).toBe("y");
  expect(assembler.unfinished()).toEqual([]);
});

test("a line without end does not grow for ever", () => {
  const assembler = new LineAssembler();
  const lines = assembler.push("a", Buffer.alloc(100_000, "x"));
  expect(lines.join("")).toHaveLength(100_000);
  expect(assembler.unfinished()).toEqual([]);
});
