import fc from "fast-check";
import { expect, test } from "vitest";
import { limits } from "../../src/base/limits.ts";
import { Epochs } from "../../src/events/epochs.ts";
import { setLimit } from "../conformance/set-limit.ts";

/** What begins in a log: how many events come before it, and its tag. */
const begun = fc.array(fc.record({ events: fc.nat(3), tag: fc.integer({ min: 1, max: 0xff_ffff }) }), {
  maxLength: 20,
});

test("each event is of the epoch that had begun last before it, and stays so", () => {
  fc.assert(
    fc.property(begun, (steps) => {
      const epochs = new Epochs();
      /** By sequence. */
      const tags = [0];
      let current = 0;
      for (const { events, tag } of steps) {
        for (let i = 0; i < events; i++) tags.push(current);
        epochs.begin(tags.length - 1, tag);
        current = tag;
      }
      tags.push(current, current);
      for (const [sequence, tag] of tags.entries()) {
        const epoch = epochs.at(sequence);
        expect(epoch.tag).toBe(tag);
        expect(epoch.after).toBeLessThan(sequence);
        expect(epoch.through).toBeGreaterThanOrEqual(sequence);
        expect(epochs.has(sequence, tag)).toBe(true);
        expect(epochs.has(sequence, tag ^ 1)).toBe(false);
      }
      expect(epochs.newest).toMatchObject({ tag: current, through: Number.POSITIVE_INFINITY });
      const again = new Epochs();
      again.restore(epochs.entries(), epochs.forgottenThrough);
      expect(again).toEqual(epochs);
      // An epoch without any event can't be asked for, so it takes no room.
      const afters = epochs.entries().map(({ after }) => after);
      expect(new Set(afters).size).toBe(afters.length);
    }),
  );
});

test("who looked an epoch up sees when it is over", () => {
  const epochs = new Epochs();
  epochs.begin(0, 1);
  const first = epochs.at(5);
  expect(first).toEqual({ after: 0, through: Number.POSITIVE_INFINITY, tag: 1 });
  epochs.begin(7, 2);
  expect(first.through).toBe(7);
  const empty = epochs.at(8);
  epochs.begin(7, 3);
  expect(empty).toEqual({ after: 7, through: 7, tag: 2 });
  expect(epochs.at(8).tag).toBe(3);
  expect(epochs.knows(2)).toBe(false);
  expect(epochs.knows(1)).toBe(true);
});

test("so many are remembered, and a position that is older than they are is taken", () => {
  setLimit("logEpochs", 3);
  const epochs = new Epochs();
  for (let i = 1; i <= 5; i++) epochs.begin(i * 10, i);
  expect(limits.logEpochs).toBe(3);
  expect(epochs.entries().map(({ tag }) => tag)).toEqual([3, 4, 5]);
  expect(epochs.forgottenThrough).toBe(30);
  for (const tag of [0, 1, 2, 77]) expect(epochs.has(30, tag)).toBe(true);
  expect(epochs.has(31, 2)).toBe(false);
  expect(epochs.has(31, 3)).toBe(true);
  expect(epochs.has(60, 5)).toBe(true);
  const again = new Epochs();
  again.restore(epochs.entries(), epochs.forgottenThrough);
  expect(again).toEqual(epochs);
});
