import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Epochs } from "../../src/events/epochs.ts";
import { setLimit } from "../conformance/set-limit.ts";

test("each event is of the epoch that had begun last before it, and stays so", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3), { maxLength: 20 }), (eventsBefore) => {
      const epochs = new Epochs();
      /** By sequence: who began it. */
      const writers = [""];
      let writer = "";
      for (const [i, events] of eventsBefore.entries()) {
        for (let left = events; left > 0; left--) writers.push(writer);
        writer = `w${i}`;
        expect(epochs.isBegunBy(writer)).toBe(false);
        epochs.begin(writers.length - 1, writer);
        expect(epochs.isBegunBy(writer)).toBe(true);
      }
      writers.push(writer, writer);
      for (const [sequence, begunBy] of writers.entries()) {
        const { after, through, tag } = epochs.at(sequence);
        expect(tag).toBe(tagOf(begunBy));
        expect(after).toBeLessThan(sequence);
        expect(through).toBeGreaterThanOrEqual(sequence);
        expect(epochs.has(sequence, tag)).toBe(true);
        expect(epochs.has(sequence, tag ^ 1)).toBe(false);
        expect(epochs.knows(tag)).toBe(true);
      }
      expect(epochs.knows(tagOf("another"))).toBe(false);
      const again = new Epochs();
      again.restore([...epochs.beginnings()], epochs.forgottenThrough);
      expect(again).toEqual(epochs);
    }),
  );
});

/** As docs/protocol.md has it. */
function tagOf(writer: string): number {
  return writer === "" ? 0 : crc32(writer) >>> 8;
}

test("who looked an epoch up sees when it is over", () => {
  const epochs = new Epochs();
  epochs.begin(0, "one");
  const first = epochs.at(5);
  expect(first).toEqual({ after: 0, through: Number.POSITIVE_INFINITY, tag: tagOf("one") });
  epochs.begin(7, "two");
  expect(first.through).toBe(7);
  expect(epochs.at(7)).toBe(first);
  expect(epochs.at(8).tag).toBe(tagOf("two"));
});

test("so many are remembered, and a position that is older than they are is taken", () => {
  setLimit("logEpochs", 3);
  const epochs = new Epochs();
  for (let i = 1; i <= 5; i++) epochs.begin(i * 10, `w${i}`);
  expect([...epochs.beginnings()].map(({ writer }) => writer)).toEqual(["w3", "w4", "w5"]);
  expect(epochs.forgottenThrough).toBe(30);
  for (const tag of [0, tagOf("w1"), tagOf("w2"), 77]) expect(epochs.has(30, tag)).toBe(true);
  expect(epochs.has(31, tagOf("w2"))).toBe(false);
  expect(epochs.has(31, tagOf("w3"))).toBe(true);
  expect(epochs.has(60, tagOf("w5"))).toBe(true);
  const again = new Epochs();
  again.restore([...epochs.beginnings()], epochs.forgottenThrough);
  expect(again).toEqual(epochs);
  // Whoever began one that is forgotten begins another.
  expect(epochs.isBegunBy("w1")).toBe(false);
  epochs.begin(60, "w1");
  expect([...epochs.beginnings()].map(({ writer }) => writer)).toEqual(["w4", "w5", "w1"]);
});
