import fc from "fast-check";
import { expect, test } from "vitest";
import { maxLineBytes, splitLines } from "../../../src/cli/publish/line-splitter.ts";

async function split(pieces: readonly Buffer[]): Promise<{ number: number; text: string }[]> {
  const lines: { number: number; text: string }[] = [];
  async function* input() {
    yield* pieces;
  }
  for await (const found of splitLines(input())) {
    lines.push(...found.map(({ number, bytes }) => ({ number, text: bytes.toString("latin1") })));
  }
  return lines;
}

test("lines keep their bytes and numbers, however the input is cut", async () => {
  const piece = fc
    .array(fc.constantFrom("a", "b", "\n", "\r", "\xff"), { maxLength: 8 })
    .map((parts) => parts.join(""));
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 20 }), async (pieces) => {
      const lines = await split(pieces.map((text) => Buffer.from(text, "latin1")));
      expect(lines.map(({ text }) => text).join("")).toBe(pieces.join(""));
      expect(lines.map(({ number }) => number)).toEqual(lines.map((_, index) => index + 1));
      for (const { text } of lines.slice(0, -1)) expect(text).toMatch(/^[^\n]*\n$/);
      expect(lines.at(-1)?.text ?? "x").toMatch(/^[^\n]*\n?$/);
    }),
  );
});

test("a line that is too long is refused before it is held", async () => {
  const half = Buffer.alloc(maxLineBytes / 2 + 1, "x");
  await expect(split([Buffer.from("ok\n"), half, half])).rejects.toMatchObject({
    reason: "invalid_request",
    details: { field: "line 2" },
  });
  const whole = Buffer.alloc(maxLineBytes - 1, "x");
  expect(await split([whole, Buffer.from("\n")])).toHaveLength(1);
});
